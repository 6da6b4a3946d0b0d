"""Inside everything that scikit-learn has to put estimators into."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
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


@pytest.mark.parametrize("autoencoder", [None, quick(2)])
def test_categories_and_missing_values(autoencoder):
    rng = np.random.default_rng(0)
    kind = rng.choice(["small", "large"], 300)
    size = np.where(kind == "small", 1.0, 100.0) + rng.normal(size=300)
    table = pd.DataFrame({"kind": kind, "size": size, "weight": size * 2 + rng.normal(size=300)})
    table.loc[::10, "weight"] = np.nan
    table.loc[5, "kind"] = np.nan
    table.loc[7] = ["large", 100.0, 1000.0]
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(add_indicator=True), make_column_selector(dtype_include="number")),
            (
                "categories",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                make_column_selector(dtype_exclude="number"),
            ),
        ],
        verbose_feature_names_out=False,  # "weight", not "numbers__weight"
    ).set_output(transform="pandas")
    detector = AutoEncoderOutlierDetector(autoencoder, contamination=0.02, random_state=0)
    scaler = "passthrough" if autoencoder is None else StandardScaler().set_output(transform="pandas")
    pipeline = make_pipeline(columns, scaler, detector).fit(table)
    explanation = pipeline[-1].explain(pipeline[:-1].transform(table))
    assert explanation.loc[7].idxmax() == "weight"
    assert pipeline.predict(table)[7] == -1
    assert pipeline.predict(pd.DataFrame({"kind": ["huge"], "size": [np.nan], "weight": [np.nan]})) in (-1, 1)


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
