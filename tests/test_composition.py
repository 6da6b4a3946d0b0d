"""Inside everything that scikit-learn has to put estimators into."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from test_base import quick

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer


@pytest.fixture(scope="module")
def cancer():
    data = load_breast_cancer(as_frame=True)
    return data.data, data.target


def test_codes_classify_breast_cancer():
    pipeline = make_pipeline(StandardScaler(), AutoEncoderTransformer(8, random_state=0), LogisticRegression())
    assert cross_val_score(pipeline, *load_breast_cancer(return_X_y=True)).mean() >= 0.95


def test_feature_union_and_column_transformer(cancer):
    X, _ = cancer
    union = FeatureUnion([("pca", PCA(3)), ("codes", quick(4))])
    assert make_pipeline(StandardScaler(), union).fit_transform(X).shape == (len(X), 7)
    columns = ColumnTransformer([("mean", quick(2), list(X.columns[:10])), ("rest", StandardScaler(), X.columns[10:])])
    named = columns.set_output(transform="pandas").fit_transform(X)
    assert list(named.columns[:2]) == ["mean__autoencodertransformer0", "mean__autoencodertransformer1"]
    pd.testing.assert_index_equal(named.index, X.index)


def test_before_tsne(cancer):
    X, _ = cancer
    assert make_pipeline(StandardScaler(), quick(8), TSNE(perplexity=20)).fit_transform(X[:150]).shape == (150, 2)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(library, cancer):
    frames = pytest.importorskip(library)
    X = frames.DataFrame(cancer[0].to_dict("list"))
    codes = quick(2).set_output(transform=library).fit_transform(X)
    assert isinstance(codes, frames.DataFrame)
    assert list(codes.columns) == ["autoencodertransformer0", "autoencodertransformer1"]


def test_search_in_two_processes(cancer):
    X, y = cancer
    pipeline = make_pipeline(StandardScaler(), quick(), LogisticRegression())
    search = GridSearchCV(pipeline, {"autoencodertransformer__n_components": [1, 8]}, cv=3, n_jobs=2).fit(X, y)
    assert search.best_params_ == {"autoencodertransformer__n_components": 8}


def test_search_by_reconstruction_needs_no_scorer(digits):
    search = GridSearchCV(quick(max_iter=10), {"n_components": [1, 8], "loss": ["squared_error"]}, cv=3).fit(digits)
    assert search.best_params_["n_components"] == 8
    assert search.best_score_ < 0


def test_frozen(digits):
    fitted = quick().fit(digits)
    frozen = make_pipeline(FrozenEstimator(fitted), LogisticRegression()).fit(digits[:100], np.arange(100) % 2)
    assert np.array_equal(frozen[0].transform(digits), fitted.transform(digits))


def test_detector_in_a_pipeline_with_a_frame(cancer):
    X, y = cancer
    detector = AutoEncoderOutlierDetector(quick(), novelty=True)
    pipeline = make_pipeline(StandardScaler(), detector).fit(X, np.where(y == 1, 1, -1))
    assert set(pipeline.predict(X)) == {-1, 1}
    assert pipeline.score_samples(X).shape == (len(X),)
