"""Scoring changes nothing, and threads that score while others fit get what a single one gets."""

import gc
import hashlib
import os
import threading
import types
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from catalogue import ESTIMATORS
from sklearn.base import clone
from test_base import dropout_network, quick

from skae import (
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.inference import network_for_scoring
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork
from skae.tables import TableLayout

X = np.random.default_rng(0).normal(size=(80, 6))
Y = np.arange(80) % 2
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, "device": "cpu"}
METHODS = [
    "transform",
    "reconstruct",
    "score_samples",
    "feature_errors",
    "score",
    "predict",
    "predict_proba",
    "decision_function",
    "explain",
    "p_values",
]
N_THREADS = 8


def table(n, seed=0):
    """A frame with numbers, categories and holes."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.normal(size=n), "b": rng.uniform(size=n), "c": rng.choice(["x", "y", "z"], n)})
    frame.loc[rng.choice(n, n // 8, replace=False), "b"] = np.nan
    return frame


CASES = [
    *[(estimator, X) for estimator in ESTIMATORS],
    (quick(network=ConvNetwork((1, 2, 3))), X),
    (quick(network=LSTMNetwork((3, 2))), X),
    (quick(network=dropout_network), X),
    (AutoEncoderTransformer(2, **SMALL), table(80)),
    (VariationalAutoEncoder(2, **SMALL), table(80)),
    (AutoEncoderOutlierDetector(n_estimators=4, random_state=0), table(80)),
    (AutoEncoderOutlierDetector(quick(), error="whitened", n_estimators=2, max_samples=30), X),
]


def fitted(estimator, rows):
    estimator = clone(estimator)
    names = {"max_iter": 2, "random_state": 0, "pretrain_max_iter": 1}
    estimator.set_params(**{name: v for name, v in names.items() if name in estimator.get_params()})
    return estimator.fit(rows, Y)


def calls(estimator, rows):
    """Return what calls each scoring method that the estimator has for these rows."""
    found = {}
    for name in METHODS:
        if hasattr(estimator, name):
            arguments = (rows, Y[: len(rows)]) if name == "score" else (rows,)
            found[name] = partial(getattr(estimator, name), *arguments)
            try:
                found[name]()
            except ValueError:  # parts of a bound, p-values without held-out rows
                del found[name]
    if hasattr(estimator, "inverse_transform") and hasattr(estimator, "transform"):
        codes = np.asarray(estimator.transform(rows))
        found["inverse_transform"] = lambda: estimator.inverse_transform(codes)
    if hasattr(estimator, "sample"):
        found["sample"] = lambda: estimator.sample(5)
    return found


def described(value, seen):
    """Return all that an object holds as text, of modules also the modes; without properties that it has computed."""
    if id(value) in seen:
        return "seen"
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {value.device} {value.requires_grad} {joblib.hash(value.numpy(force=True))}"
    if type(value) is np.ndarray or isinstance(value, pd.Index):
        return f"{value.dtype} {value.shape} {joblib.hash(value)}"
    if isinstance(value, list | tuple | set):
        return f"{type(value)} {[described(item, seen) for item in value]}"
    if isinstance(value, dict):
        return str({repr(key): described(item, seen) for key, item in value.items()})
    if not hasattr(value, "__dict__") or isinstance(value, type | types.FunctionType | np.ma.MaskedArray):
        return repr(value)
    seen = seen | {id(value)}
    state = value.__getstate__() if isinstance(value, TableLayout) else vars(value)
    computed = {k for kind in type(value).__mro__ for k, v in vars(kind).items() if isinstance(v, cached_property)}
    return f"{type(value)} {described({k: v for k, v in state.items() if k not in computed}, seen)}"


def fingerprint(estimator):
    """Return a hash of `described`."""
    return hashlib.sha256(described(estimator, frozenset()).encode()).hexdigest()


def assert_same(found, expected, **tolerance):
    if isinstance(expected, tuple):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other, **tolerance)
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=not tolerance, **tolerance)
    else:
        np.testing.assert_allclose(found, expected, **(tolerance or {"rtol": 0}))


@pytest.mark.filterwarnings("ignore:y has the labels .* and no -1")
@pytest.mark.parametrize(("estimator", "rows"), CASES, ids=lambda x: repr(x)[:60] if hasattr(x, "fit") else "")
def test_scoring_changes_nothing_and_is_the_same_in_threads(estimator, rows):
    model = fitted(estimator, rows)
    before = fingerprint(model)
    scoring = calls(model, rows)
    assert {"score", "predict"} & set(scoring)
    expected = {name: call() for name, call in scoring.items()}
    assert fingerprint(model) == before
    with ThreadPoolExecutor(N_THREADS) as pool:
        found = list(pool.map(lambda name: (name, scoring[name]()), [*scoring] * N_THREADS))
    assert fingerprint(model) == before
    for name, result in found:
        assert_same(result, expected[name])


@pytest.mark.parametrize("switch", [lambda a: a.encoder_.train(), lambda a: a.decoder_.train()])
@pytest.mark.parametrize("network", [DenseNetwork((8,), normalization="batch", dropout=0.5), dropout_network])
def test_a_network_in_training_mode_stays_there_and_scores_as_ever(network, switch):
    model = quick(network=network).fit(X)
    scoring = calls(model, X)
    expected = {name: call() for name, call in scoring.items()}
    switch(model)
    before = fingerprint(model)
    for name, call in scoring.items():
        assert_same(call(), expected[name], rtol=1e-5, atol=1e-6)
    assert fingerprint(model) == before
    with torch.no_grad():  # it computes with the user's weights, not with a copy of earlier ones
        for parameter in model.encoder_.parameters():
            parameter.zero_()
    assert np.ptp(model.transform(X), axis=0).max() == 0


def test_a_copy_on_another_device_is_made_once_and_follows_the_weights():
    network, meta = quick().fit(X)._network, torch.device("meta")
    assert network_for_scoring(network, torch.device("cpu")) is network
    with ThreadPoolExecutor(N_THREADS) as pool:
        copies = list(pool.map(network_for_scoring, [network] * 50, [meta] * 50))
    assert len({id(copy) for copy in copies}) == 1
    assert {p.device.type for p in copies[0].parameters()} == {"meta"}
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    with torch.no_grad():
        next(network.parameters()).zero_()
    assert network_for_scoring(network, meta) is not copies[0]
    gone = weakref.ref(network_for_scoring(network, meta))
    del network, copies
    gc.collect()
    assert gone() is None


# ---- threads that fit --------------------------------------------------------------------------------------


def run_threads(functions, timeout=300):
    """Run functions of an event, which tells those that loop to end, in threads; the first are waited for."""
    end, errors = threading.Event(), []

    def guarded(function):
        try:
            function(end)
        except BaseException as error:
            errors.append(error)
            end.set()

    waited_for, looping = functions
    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in [*waited_for, *looping]]
    for thread in threads:
        thread.start()
    for thread in threads[: len(waited_for)]:
        thread.join(timeout)
    end.set()
    for thread in threads:
        thread.join(timeout)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
    if errors:
        raise errors[0]


def other_levels(n):
    frame = table(n, seed=1)
    return frame.assign(c=frame["c"].map({"x": "z", "y": "new", "z": "y"}), a=frame["a"] * 100)


REFITTED = [
    AutoEncoderTransformer(2, **SMALL),
    VariationalAutoEncoder(2, **SMALL),
    AutoEncoderOutlierDetector(quick(max_iter=2)),
]


@pytest.mark.parametrize("estimator", REFITTED, ids=lambda e: type(e).__name__)
def test_a_scorer_sees_the_old_model_or_the_new_one(estimator):
    kinds, rows = [table(60), other_levels(60)], table(40, seed=2)
    names = [
        "reconstruct",
        "score_samples",
        *(["predict", "explain"] if hasattr(estimator, "predict") else ["transform"]),
    ]
    expected = []
    for kind in kinds:
        model = clone(estimator).fit(kind)
        expected.append({name: getattr(model, name)(rows) for name in names})
    model = clone(estimator).fit(kinds[0])
    seen = set()

    def score(end):
        for i in range(10_000):
            name = names[i % len(names)]
            result = getattr(model, name)(rows)
            matching = [k for k in (0, 1) if is_same(result, expected[k][name])]
            assert matching, f"{name} is of neither model"
            seen.update(matching if len(matching) == 1 else [])
            if end.is_set():
                return

    def fit(_):
        for i in range(1, 31):
            model.fit(kinds[i % 2])

    run_threads(([fit], [score] * 3))
    assert seen == {0, 1}


def is_same(found, expected):
    try:
        assert_same(found, expected, rtol=1e-5, atol=1e-6)
    except AssertionError:
        return False
    return True


def served():
    """Return fitted estimators with rows for their requests."""
    wide = np.random.default_rng(1).normal(size=(1200, 6))
    labels, bag = np.arange(80) % 3, AutoEncoderOutlierDetector(novelty=True, n_estimators=2, random_state=0)
    with_names = pd.DataFrame(wide, columns=list("abcdef"))
    return [
        (quick(**SMALL).fit(X), "transform", wide),
        (quick(**SMALL).fit(with_names[:80]), "score_samples", with_names),
        (quick(network=LSTMNetwork((3, 2))).fit(X), "reconstruct", wide),
        (quick(network=dropout_network).fit(X), "score_samples", wide.astype(np.float32)),
        (VariationalAutoEncoder(2, **SMALL).fit(X), "score_samples", wide),
        (ConditionalVariationalAutoEncoder(2, **SMALL).fit(X, labels), "predict_proba", wide),
        (StackedAutoEncoderClassifier(2, pretrain_max_iter=1, **SMALL).fit(X, labels), "predict_proba", wide),
        (bag.fit(table(80)), "predict", table(1200)),
        (AutoEncoderOutlierDetector(quick(), error="whitened").fit(X), "decision_function", wide),
    ]


def answer(models, number):
    """Answer a request; its number tells which model, and which and how many rows."""
    model, method, rows = models[number % len(models)]
    rng = np.random.default_rng(number)
    n = int(rng.choice([1, 1, 2, 31, 33, 257, 1000]))
    start = int(rng.integers(len(rows) - n))
    return getattr(model, method)(rows[start : start + n])


def resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def serve(models, numbers, expected):
    """Answer requests in eight threads, while two fit."""
    left, lock = iter(numbers), threading.Lock()

    def score(end):
        while not end.is_set():
            with lock:
                number = next(left, None)
            if number is None:
                return
            assert_same(answer(models, number), expected[number])

    def fit(end):
        seed = 0
        while not end.is_set():
            quick(**{**SMALL, "random_state": seed}).fit(X)
            AutoEncoderOutlierDetector(n_estimators=2, random_state=seed).fit(table(60, seed))
            seed += 1

    run_threads(([score] * N_THREADS, [fit] * 2), timeout=1800)


@pytest.mark.parametrize("n_requests", [200, pytest.param(10_000, marks=pytest.mark.long)])
def test_eight_threads_score_while_two_fit(n_requests, request):
    models = served()
    expected = [answer(models, number) for number in range(n_requests)]
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    before = [fingerprint(model) for model, _, _ in models]
    serve(models, range(n_requests // 4), expected)  # threads and their arenas of memory are warm
    gc.collect()
    started_with = resident_megabytes()
    serve(models, range(n_requests), expected)
    gc.collect()
    grown = resident_megabytes() - started_with
    print(f"{n_requests} requests: {started_with:.0f} MB, grown by {grown:.1f} MB")
    assert grown < 50
    assert [fingerprint(model) for model, _, _ in models] == before
    assert torch.get_rng_state().equal(state)
    assert torch.get_num_threads() == n_threads
    assert threading.active_count() < N_THREADS
