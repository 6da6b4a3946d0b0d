"""What a fitted model computes is fixed by fit: later parameters neither change it nor are silently ignored."""

import copy
import functools
import io
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from torch import nn

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.networks import DenseNetwork

X, Y = np.random.default_rng(0).uniform(size=(60, 6)), np.arange(60) % 3
SHARED = [
    {"loss": "absolute_error"},
    {"loss": "binary_cross_entropy"},
    {"activation": "tanh"},
    {"hidden_layer_sizes": (9,)},
    {"n_components": 2},
    {"network": DenseNetwork((8,))},
]
OWN = [
    (SparseAutoEncoder, {"sparsity": "kl"}),
    (AdversarialAutoEncoder, {"prior": "uniform"}),
    (AdversarialAutoEncoder, {"discriminator_layer_sizes": (4,)}),
    (StackedAutoEncoder, {"tied_weights": False}),
    (StackedAutoEncoderClassifier, {"tied_weights": False}),
]
CLASSES = [
    AutoEncoderTransformer,
    DenoisingAutoEncoder,
    ContractiveAutoEncoder,
    VariationalAutoEncoder,
    ConditionalVariationalAutoEncoder,
    *dict.fromkeys(make for make, _ in OWN),
]
FIXED = [(make, change) for make in CLASSES for change in SHARED] + OWN


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


COPIES = [lambda e: e, lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy, through_joblib]
copied = pytest.mark.parametrize("copied", COPIES, ids=["itself", "pickle", "deepcopy", "joblib"])


def linear(n_features, n_components, width=4):
    return (
        nn.Sequential(nn.Linear(n_features, width), nn.Linear(width, n_components)),
        nn.Linear(n_components, n_features),
    )


class Linear:
    def __call__(self, n_features, n_components):
        return linear(n_features, n_components)


def fitted(make, **parameters):
    return make(3, **{"hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0, **parameters}).fit(X, Y)


def results(estimator):
    """Return all that a fitted estimator computes of X."""
    names = ["transform", "reconstruct", "score_samples", "feature_errors", "predict_proba"]
    if isinstance(estimator, VariationalAutoEncoder | ConditionalVariationalAutoEncoder):
        names.remove("feature_errors")
    found = [getattr(estimator, name)(X) for name in names if hasattr(estimator, name)]
    found.append(estimator.get_feature_names_out().astype(str))
    if hasattr(estimator, "inverse_transform"):
        found.append(estimator.inverse_transform(found[0]))
    if hasattr(estimator, "sample"):
        found.append(np.asarray(estimator.sample(3)[0]))
    return found


def assert_same(found, expected):
    # the same calls on the same weights
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("make", "change"), FIXED, ids=lambda x: getattr(x, "__name__", str(x)))
@copied
def test_what_fit_has_fixed_stays_and_another_value_does_not_continue(copied, make, change):
    estimator = fitted(make)
    expected = results(estimator)
    estimator = copied(estimator).set_params(**change, warm_start=True)
    assert_same(results(estimator), expected)
    (name,) = change
    for method in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=rf"^{name}=.* differs from .* of the fitted network"):
            method(X, Y)
        assert estimator.n_iter_ == 1
        assert_same(results(estimator), expected)
    estimator.set_params(warm_start=False).fit(X, Y)  # a new one


@copied
@pytest.mark.parametrize("network", [None, DenseNetwork([8]), linear, Linear(), functools.partial(linear, width=5)])
@pytest.mark.parametrize("make", [AutoEncoderTransformer, VariationalAutoEncoder, AdversarialAutoEncoder])
def test_the_same_network_continues(make, network, copied):
    estimator = copied(fitted(make, network=network)).set_params(warm_start=True)
    assert estimator.fit(X).partial_fit(X).n_iter_ == 3


def test_a_network_changed_in_place_is_another_one():
    autoencoder = fitted(AutoEncoderTransformer, network=DenseNetwork([8], dropout=0.1))
    expected = results(autoencoder)
    autoencoder.set_params(network__dropout=0.2)
    assert_same(results(autoencoder), expected)
    with pytest.raises(ValueError, match=r"^network=.*dropout=0.2.* differs from .*dropout=0.1"):
        autoencoder.partial_fit(X)
    autoencoder.set_params(network__dropout=0.1)
    autoencoder.partial_fit(X)
    autoencoder.network.hidden_layer_sizes.append(4)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\[8, 4\].* differs from .*hidden_layer_sizes=\[8\]"):
        autoencoder.partial_fit(X)


@pytest.mark.parametrize("sizes", [[8], np.array([8])], ids=["list", "array"])
def test_sizes_changed_in_place_are_others(sizes):
    autoencoder = fitted(AutoEncoderTransformer, hidden_layer_sizes=sizes)
    expected = results(autoencoder)
    sizes[0] = 4
    assert_same(results(autoencoder), expected)
    with pytest.raises(ValueError, match=r"^hidden_layer_sizes=.*4.* differs from .*8"):
        autoencoder.partial_fit(X)


@pytest.mark.parametrize("sizes", [8, (8,), [8], np.array([8]), np.int64(8)], ids=repr)
def test_sizes_may_be_said_otherwise(sizes):
    assert fitted(AutoEncoderTransformer).set_params(hidden_layer_sizes=sizes).partial_fit(X).n_iter_ == 2


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (
            AutoEncoderTransformer,
            {
                "alpha": 0.1,
                "batch_size": 16,
                "learning_rate": "constant",
                "learning_rate_init": 0.1,
                "early_stopping": True,
                "random_state": 1,
            },
        ),
        (DenoisingAutoEncoder, {"corruption": "masking", "noise_level": 0.3}),
        (SparseAutoEncoder, {"sparsity_weight": 0.3}),
        (ContractiveAutoEncoder, {"contraction_weight": 0.1, "method": "stochastic"}),
        (AdversarialAutoEncoder, {"adversarial_weight": 0.3}),
        (VariationalAutoEncoder, {"beta": 0.3}),
        (ConditionalVariationalAutoEncoder, {"beta": 0.3, "classification_weight": 2.0}),
        (StackedAutoEncoder, {"corruption": "masking", "noise_level": 0.3, "pretrain_max_iter": 2}),
        (StackedAutoEncoderClassifier, {"corruption": None, "pretrain_max_iter": 2}),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_how_to_train_may_change(make, changes):
    estimator = fitted(make)
    before = estimator.transform(X)
    estimator.set_params(**changes)
    np.testing.assert_array_equal(estimator.transform(X), before)
    assert estimator.set_params(warm_start=True).fit(X, Y).partial_fit(X, Y).n_iter_ == 3


def test_a_detectors_scores_stay_too():
    detector = AutoEncoderOutlierDetector(clone(fitted(AutoEncoderTransformer))).fit(X)
    scores = detector.score_samples(X)
    detector.set_params(error="absolute_error", autoencoder__loss="absolute_error", autoencoder__n_components=2)
    np.testing.assert_array_equal(detector.score_samples(X), scores)
