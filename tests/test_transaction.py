"""A fit changes its estimator as a whole or not at all, whatever ends it, and says which."""

import copy
import sys

import numpy as np
import pytest
import torch
from test_base import EveryEpoch, quick, weights

import skae.estimators.base
import skae.estimators.greedy
from skae import (
    AutoEncoderOutlierDetector,
    ConditionalVariationalAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
)
from skae.training.loop import BestWeights
from skae.training.steps import AdamW

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "device": "cpu", "batch_size": 16}


class Custom(BaseException):
    """Neither an Exception nor what Python itself raises."""


ERRORS = [OSError, MemoryError, SystemExit, KeyboardInterrupt, GeneratorExit, Custom]


def state(estimator):
    """What a fit may change, without the attributes of scikit-learn's callbacks."""
    return {name: value for name, value in vars(estimator).items() if "callback" not in name}


def assert_unchanged(estimator, before, scores, error):
    assert state(estimator).keys() == before.keys()
    assert all(state(estimator)[name] is value for name, value in before.items())
    assert any("left as it was" in note for note in error.__notes__)
    if scores is not None:
        assert np.array_equal(estimator.score_samples(X), scores)


def assert_complete(autoencoder, n_earlier=0):
    assert len(autoencoder.loss_curve_) == autoencoder.n_iter_ > n_earlier
    assert n_earlier < autoencoder.best_epoch_ <= autoencoder.n_iter_
    assert not autoencoder.encoder_.training
    assert np.isfinite(autoencoder.transform(X)).all()


def raising(error, epoch):
    def end(number, _):
        if number == epoch:
            raise error

    return EveryEpoch(end)


# ---- callbacks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("epoch", [0, 1, 2])
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("start", ["cold", "again", "warm"])
def test_a_callback_that_raises(start, error, epoch, early_stopping):
    autoencoder = quick(**SMALL, early_stopping=early_stopping, warm_start=start == "warm")
    scores = None if start == "cold" else autoencoder.fit(X).score_samples(X)
    before, best = state(autoencoder), []
    autoencoder.set_callbacks(
        EveryEpoch(lambda _, follower: best.append((follower.best_epoch_, weights(follower).clone()))),
        raising(error, epoch),
    )
    with pytest.raises(error) as caught:
        autoencoder.fit(X)
    if error is not KeyboardInterrupt:
        assert_unchanged(autoencoder, before, scores, caught.value)
        return
    assert_complete(autoencoder, 3 if start == "warm" else 0)
    assert autoencoder.n_iter_ == epoch + 1 + 3 * (start == "warm")
    assert f"weights of epoch {autoencoder.best_epoch_}, its best" in caught.value.__notes__[0]
    assert weights(autoencoder).equal(best[autoencoder.best_epoch_ - 1 - 3 * (start == "warm")][1])


@pytest.mark.parametrize("error", [OSError, SystemExit, KeyboardInterrupt])
def test_a_callback_that_raises_at_the_end_leaves_the_whole_fit(error):
    class AtTheEnd(EveryEpoch):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if context.task_name == "fit":
                raise self.function

    autoencoder = quick(**SMALL).set_callbacks(AtTheEnd(error))
    with pytest.raises(error) as caught:
        autoencoder.fit(X)
    assert_complete(autoencoder)
    assert autoencoder.n_iter_ == 3
    assert caught.value.__notes__ == ["The AutoEncoderTransformer is fitted."]


@pytest.mark.parametrize("error", ERRORS)
def test_partial_fit_that_is_ended(error, monkeypatch):
    autoencoder = quick(**SMALL).partial_fit(X)
    before, scores, step = state(autoencoder), autoencoder.score_samples(X), AdamW.step
    optimizer = copy.deepcopy(autoencoder._optimizer_states)
    steps = []

    def end(self):
        step(self)
        steps.append(1)
        if len(steps) == 2:
            raise error

    monkeypatch.setattr(AdamW, "step", end)
    with pytest.raises(error) as caught:
        autoencoder.partial_fit(X)
    assert_unchanged(autoencoder, before, scores, caught.value)
    torch.testing.assert_close(autoencoder._optimizer_states, optimizer, rtol=0, atol=0)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("kind", [StackedAutoEncoder, StackedAutoEncoderClassifier])
def test_pre_training_that_is_ended(kind, error, monkeypatch):
    y = np.arange(60) % 3
    estimator = kind(2, **SMALL, pretrain_max_iter=2).fit(X, y)
    before, codes, train = state(estimator), estimator.transform(X), skae.estimators.greedy.train
    layers = []

    def end(*args, **kwargs):
        train(*args, **kwargs)
        layers.append(1)
        if len(layers) == 2:
            raise error

    monkeypatch.setattr(skae.estimators.greedy, "train", end)
    with pytest.raises(error) as caught:
        estimator.fit(X[:, :3], np.arange(60) % 2)
    assert_unchanged(estimator, before, None, caught.value)
    assert np.array_equal(estimator.transform(X), codes)


@pytest.mark.parametrize("kind", [StackedAutoEncoderClassifier, ConditionalVariationalAutoEncoder])
def test_classes_of_a_fit_that_failed_are_forgotten(kind, monkeypatch):
    estimator = kind(2, **SMALL)
    monkeypatch.setattr(AdamW, "step", lambda self: (_ for _ in ()).throw(OSError()))
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its note says more
        estimator.partial_fit(X, np.arange(60) % 2, classes=[0, 1, 2])
    assert any("left as it was" in note for note in caught.value.__notes__)
    assert not [name for name in state(estimator) if name.endswith("_")]


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize("error", ERRORS)
def test_a_detector_whose_callback_raises(error, n_estimators, epoch):
    """In a bag the second member is ended: the first one is fitted by then."""
    detector = AutoEncoderOutlierDetector(quick(**SMALL), n_estimators=n_estimators).fit(X)
    before, scores, calls = state(detector), detector.score_samples(X), []

    def end(number, _):
        calls.append(number)
        if calls.count(epoch) == (1 if n_estimators == 1 else 2) and number == epoch:
            raise error

    detector.set_params(autoencoder=quick(**SMALL).set_callbacks(EveryEpoch(end)))
    before["autoencoder"] = detector.autoencoder
    with pytest.raises(error) as caught:
        detector.fit(X[:, :3])
    if error is KeyboardInterrupt:
        assert "The AutoEncoderOutlierDetector is fitted." in caught.value.__notes__
        assert np.isfinite(detector.score_samples(X[:, :3])).all()
    else:
        assert_unchanged(detector, before, scores, caught.value)


# ---- every stage -------------------------------------------------------------------------------------------


def fail(error):
    def function(*args, **kwargs):
        raise error

    return function


STAGES = [
    "skae.estimators.preparation.summarize",
    "skae.estimators.base.NetworkEstimator._build_network",
    "skae.estimators.base.Rows",
    "skae.training.loop.make_step",
    "skae.training.loop.History.add",
    "skae.estimators.base.NetworkEstimator._fitted_attributes",
]


@pytest.mark.parametrize("error", [OSError, MemoryError, SystemExit, KeyboardInterrupt, FloatingPointError])
@pytest.mark.parametrize("place", STAGES)
@pytest.mark.parametrize("again", [False, True])
def test_a_stage_that_fails(place, again, error, monkeypatch):
    autoencoder = quick(**SMALL, early_stopping=True)
    scores = autoencoder.fit(X).score_samples(X) if again else None
    before = state(autoencoder)
    monkeypatch.setattr(place, fail(error))
    with pytest.raises(error) as caught:
        autoencoder.fit(X[:, :3])
    monkeypatch.undo()
    assert_unchanged(autoencoder, before, scores, caught.value)


@pytest.mark.parametrize("error", [OSError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("warm_start", [False, True])
def test_the_copy_of_the_best_weights_is_cut_short(warm_start, error, monkeypatch):
    autoencoder = quick(**{**SMALL, "max_iter": 6}, early_stopping=True, warm_start=warm_start).fit(X)
    before, scores, restore = state(autoencoder), autoencoder.score_samples(X), BestWeights.restore
    calls = []

    def half(self, module):
        calls.append(1)
        if len(calls) == 1:
            module.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in self.weights.items()})
            raise error
        restore(self, module)

    monkeypatch.setattr(BestWeights, "restore", half)
    with pytest.raises(error) as caught:
        autoencoder.fit(X)
    if error is KeyboardInterrupt:
        assert_complete(autoencoder, 6 if warm_start else 0)
        assert weights(autoencoder).abs().sum() > 0
    else:
        assert_unchanged(autoencoder, before, scores, caught.value)


@pytest.mark.parametrize("place", ["make_measure", "hold_out", "AutoEncoderOutlierDetector._threshold_attributes"])
@pytest.mark.parametrize("error", [OSError, SystemExit, KeyboardInterrupt])
def test_a_stage_of_a_detector_that_fails(place, error, monkeypatch):
    detector = AutoEncoderOutlierDetector(quick(**SMALL), calibration_fraction=0.2, random_state=0).fit(X)
    before, scores = state(detector), detector.score_samples(X)
    monkeypatch.setattr(f"skae.outliers.detector.{place}", fail(error))
    with pytest.raises(error) as caught:
        detector.fit(X[:, :3])
    assert_unchanged(detector, before, scores, caught.value)


def test_a_threshold_that_fails_leaves_the_old_one(monkeypatch):
    detector = AutoEncoderOutlierDetector(quick(**SMALL)).fit(X)
    before, scores = state(detector), detector.score_samples(X)
    monkeypatch.setattr("skae.outliers.detector.threshold_rule", fail(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt) as caught:
        detector.set_threshold("mean")
    assert_unchanged(detector, before, scores, caught.value)


# ---- interrupts anywhere -----------------------------------------------------------------------------------

FITS = {
    "fit": (lambda: quick(**SMALL, early_stopping=True), lambda e: e.fit(X)),
    "warm start": (lambda: quick(**SMALL, warm_start=True).fit(X), lambda e: e.fit(X)),
    "partial_fit": (lambda: quick(**SMALL).fit(X), lambda e: e.partial_fit(X)),
    "detector": (lambda: AutoEncoderOutlierDetector(quick(**SMALL)).fit(X), lambda e: e.fit(X)),
    "bag": (lambda: AutoEncoderOutlierDetector(quick(**SMALL), n_estimators=2).fit(X), lambda e: e.fit(X)),
}
# where state is put back, by calls that a real interrupt cannot come before
GUARDS = ("_compat.py", "random.py", "precision.py", "transaction.py")


def interrupted_at(line, call):
    """Call with a KeyboardInterrupt at the given line of skae's that is run; return how many there were."""
    seen = 0

    def trace(frame, event, arg):
        nonlocal seen
        name = frame.f_code.co_filename
        if "/skae/" not in name or name.endswith(GUARDS):
            return None
        if event == "line":
            seen += 1
            if seen == line:
                raise KeyboardInterrupt
        return trace

    earlier = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(earlier)
    return seen


@pytest.mark.parametrize("name", FITS)
def test_interrupts_anywhere_leave_all_or_nothing(name):
    make, call = FITS[name]
    estimator = make()
    n_lines = interrupted_at(None, lambda: call(estimator))
    assert n_lines > 100
    for line in np.linspace(1, 0.99 * n_lines, 30).astype(int):
        estimator = make()
        before, n_threads = state(estimator), torch.get_num_threads()
        scores = estimator.score_samples(X) if "n_features_in_" in before else None
        with pytest.raises(KeyboardInterrupt) as caught:
            interrupted_at(line, lambda estimator=estimator: call(estimator))
        if all(state(estimator).get(k) is v for k, v in before.items()) and len(state(estimator)) == len(before):
            assert scores is None or np.array_equal(estimator.score_samples(X), scores)
            assert not any("is fitted" in note for note in getattr(caught.value, "__notes__", []))
        else:
            model = getattr(estimator, "autoencoder_", estimator)
            for autoencoder in getattr(model, "autoencoders_", [model]):
                assert_complete(autoencoder)
            assert np.isfinite(estimator.score_samples(X)).all()
            assert not any("left as it was" in note for note in getattr(caught.value, "__notes__", [])[-1:])
        assert torch.get_num_threads() == n_threads
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
