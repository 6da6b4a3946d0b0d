"""Whatever a caller has set of torch's, every estimator computes the same and leaves it as it was."""

from functools import partial
from types import CellType, FunctionType

import numpy as np
import pandas as pd
import pytest
import torch
from catalogue import AUTOENCODERS, CLASSIFIERS
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from test_base import quick, weights
from torch import nn

from skae import AutoEncoderOutlierDetector, VariationalAutoEncoder
from skae.model_selection import BatchedGridSearchCV
from skae.networks import ConvNetwork, LSTMNetwork

X = np.random.default_rng(0).normal(size=(60, 6))
Y = np.arange(60) % 2
QUICK = {"max_iter": 2, "random_state": 0, "device": "cpu"}
DETECTORS = [
    AutoEncoderOutlierDetector(random_state=0),
    AutoEncoderOutlierDetector(novelty=True, random_state=0),
    AutoEncoderOutlierDetector(quick(), error="whitened", n_estimators=2, max_samples=30),
]
ESTIMATORS = [
    *[clone(estimator).set_params(**QUICK) for estimator in AUTOENCODERS + CLASSIFIERS],
    quick(network=ConvNetwork((1, 2, 3))),
    quick(network=LSTMNetwork((3, 2))),
    *DETECTORS,
]


def scores(estimator):
    fitted = clone(estimator).fit(X, Y if estimator in ESTIMATORS[: -len(DETECTORS)] else None)
    return fitted.predict_proba(X) if hasattr(fitted, "predict_proba") else fitted.score_samples(X)


@pytest.fixture(scope="module")
def expected():
    return [scores(estimator) for estimator in ESTIMATORS]


@pytest.fixture(params=["float64", "meta", "no gradients", "inference", "autocast"])
def surroundings(request):
    """Set something of torch's, and check that it stays so."""
    if request.param == "float64":
        torch.set_default_dtype(torch.float64)
        yield
        after = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        assert after == torch.float64
    elif request.param == "meta":
        torch.set_default_device("meta")
        yield
        after = torch.get_default_device()
        torch.set_default_device(None)
        assert after.type == "meta"
    elif request.param == "no gradients":
        torch.set_grad_enabled(False)
        yield
        after = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        assert not after
    elif request.param == "inference":
        with torch.inference_mode():
            yield
            assert torch.is_inference_mode_enabled()
    else:
        with torch.autocast("cpu", torch.bfloat16):
            yield
            assert torch.is_autocast_enabled("cpu")
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize("i", range(len(ESTIMATORS)), ids=lambda i: type(ESTIMATORS[i]).__name__)
def test_the_callers_settings_change_nothing(i, expected, surroundings):
    np.testing.assert_allclose(scores(ESTIMATORS[i]), expected[i], rtol=1e-5, atol=1e-6)


def test_samples_are_the_same_too(surroundings):
    fitted = VariationalAutoEncoder(2, hidden_layer_sizes=(4,), **QUICK).fit(X)
    assert fitted.sample(3).shape == (3, 6)


# ---- callables as networks ---------------------------------------------------------------------------------


def recursive_network(depth):
    """A network whose function refers to itself."""

    def stack(n_in, n_out, left):
        return [nn.Linear(n_in, n_out)] if left == 0 else [nn.Linear(n_in, n_in), *stack(n_in, n_out, left - 1)]

    def network(n_features, n_components):
        return nn.Sequential(*stack(n_features, n_components, depth)), nn.Linear(n_components, n_features)

    return network


def network_that_holds(*content):
    """A network with something in its closure, or an empty cell."""
    held, cell = None, CellType(*content)

    def network(n_features, n_components, ask=False):
        return held if ask else (nn.Linear(n_features, n_components), nn.Linear(n_components, n_features))

    return FunctionType(network.__code__, globals(), "network", (False,), (cell,))


def lazy_network(n_features, n_components):
    return nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(n_components)), nn.LazyLinear(n_features)


ENDLESS: list = []
ENDLESS.append(ENDLESS)

CALLABLES = {
    "recursive": recursive_network(2),
    "empty cell": network_that_holds(),
    "list that holds itself": network_that_holds(ENDLESS),
    "partial of a lambda": partial(lambda bias, d, k: (nn.Linear(d, k, bias=bias), nn.Linear(k, d)), True),
    "lazy": lazy_network,
}


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("name", CALLABLES)
def test_networks_of_any_callable(name, memory, tmp_path):
    detector = AutoEncoderOutlierDetector(quick(network=CALLABLES[name]), memory=str(tmp_path) if memory else None)
    first, second = clone(detector).fit(X), clone(detector).fit(X)
    np.testing.assert_allclose(first.score_samples(X), second.score_samples(X), rtol=1e-5)
    search = BatchedGridSearchCV(detector, {"threshold": ["mean", "median"]}, cv=2, scoring=lambda d, X, y=None: 0.0)
    assert search.fit(X).best_estimator_.predict(X).shape == (60,)


def test_lazy_modules_are_reproducible_and_leave_torchs_generator_alone(surroundings):
    before = torch.get_rng_state().clone()
    first = quick(network=lazy_network).fit(X)
    assert torch.get_rng_state().equal(before)
    with torch.device("cpu"):
        torch.rand(3)
    assert weights(quick(network=lazy_network).fit(X)).equal(weights(first))
    assert not weights(quick(network=lazy_network, random_state=1).fit(X)).equal(weights(first))
    assert {p.dtype for p in first.encoder_.parameters()} == {torch.float32}


# ---- warnings ----------------------------------------------------------------------------------------------

FAR = X + np.array([0, 0, 0, 1.7e9, 0, 0])
WRAPPED = {
    "autoencoder": lambda a: a,
    "pipeline": lambda a: make_pipeline(FunctionTransformer(), a),
    "detector": lambda a: AutoEncoderOutlierDetector(a),
    "bag": lambda a: AutoEncoderOutlierDetector(a, n_estimators=2),
    "detector in a pipeline": lambda a: make_pipeline(FunctionTransformer(), AutoEncoderOutlierDetector(a)),
    "search": lambda a: GridSearchCV(a, {"alpha": [0.0]}, cv=2),
    "batched search": lambda a: BatchedGridSearchCV(a, {"alpha": [0.0]}, cv=2),
}


@pytest.mark.parametrize("rows", [FAR, pd.DataFrame(FAR)], ids=["array", "frame"])
@pytest.mark.parametrize("wrap", WRAPPED)
def test_warnings_about_columns_point_to_the_callers_file(wrap, rows):
    rows = rows if isinstance(rows, np.ndarray) else rows.rename(columns=str)
    with pytest.warns(UserWarning, match=r"Columns \[3\] of X vary too little") as caught:
        WRAPPED[wrap](quick()).fit(rows)
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize("wrap", ["autoencoder", "pipeline"])
def test_warnings_about_samples_point_to_the_callers_file(wrap):
    detector = AutoEncoderOutlierDetector(quick(), n_estimators=2, max_samples=100)
    with pytest.warns(UserWarning, match="max_samples=100 exceeds the 60 rows") as caught:
        WRAPPED[wrap](detector).fit(X)
    assert {warning.filename for warning in caught} == {__file__}


def test_warnings_about_labels_point_to_the_callers_file():
    with pytest.warns(UserWarning, match="no -1: all rows are trained on") as caught:
        AutoEncoderOutlierDetector(quick(), novelty=True).fit(X, Y)
    assert {warning.filename for warning in caught} == {__file__}
