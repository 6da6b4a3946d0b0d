"""Sixteen threads fit, score and are interrupted: thread counts, modes and generators stay as they were.

A few rounds are part of the suite; `SKAE_STRESS=1000 python -m pytest -n0 tests/test_stress.py` runs a thousand.
"""

import ctypes
import os
import random
import threading

import numpy as np
import pytest
import torch
from test_base import EveryEpoch, dropout_network, quick

from skae import AutoEncoderOutlierDetector, StackedAutoEncoder
from skae.training.steps import AdamW

N_THREADS = 16
N_ROUNDS = int(os.environ.get("SKAE_STRESS", "4"))  # of all cases together
X = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "device": "cpu"}


def modes():
    """What belongs to the calling thread."""
    return (
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_cache_enabled(),
        torch.get_autocast_dtype("cpu"),
        torch.get_default_device(),
    )


def shared():
    """What belongs to the process."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), torch.get_default_dtype()  # noqa: NPY002


def in_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def interrupt(epoch, _):
    if epoch == 1:
        raise KeyboardInterrupt


def estimators(seed):
    detector = AutoEncoderOutlierDetector(quick(**SMALL, random_state=seed), n_estimators=2, max_samples=40)
    return [
        quick(**SMALL, random_state=seed, early_stopping=True),
        quick(**SMALL, random_state=seed, network=dropout_network),
        quick(**SMALL, random_state=seed, precision="bfloat16"),
        quick(**SMALL, random_state=seed, network=dropout_network).set_callbacks(EveryEpoch(interrupt)),
        StackedAutoEncoder(2, **SMALL, random_state=seed).set_callbacks(EveryEpoch(interrupt)),
        AutoEncoderOutlierDetector(random_state=seed),
        detector,
        AutoEncoderOutlierDetector(quick(**SMALL).set_callbacks(EveryEpoch(interrupt))),
    ]


def fit_and_score(estimator):
    try:
        estimator.fit(X)
    except KeyboardInterrupt:
        if "n_features_in_" not in vars(estimator):  # interrupted from outside before the first epoch
            return
    assert np.isfinite(estimator.score_samples(X)).all()
    assert estimator.score_samples(X[:1]).shape == (1,)


def raise_in(thread):
    """Raise KeyboardInterrupt in another thread, at any moment."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt))


# an interrupt may come into the test's own lines between two `try`; other exceptions are kept
@pytest.mark.filterwarnings("ignore:Exception in thread:pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("from_outside", [False, True], ids=["by callbacks", "from outside"])
@pytest.mark.parametrize("own_threads", [1, 2])
def test_sixteen_threads_leave_everything_as_it_was(own_threads, from_outside, shared_state_is_put_back):
    torch.set_num_threads(own_threads)
    expected, expected_shared, expected_here = in_new_thread(modes), shared(), modes()
    chosen, failures = random.Random(0), []

    def work(number, start, end):
        before = modes()
        try:
            start.wait()
            for estimator in random.Random(number).sample(estimators(number), 3):
                fit_and_score(estimator)
        except KeyboardInterrupt:  # while scoring, or in the test's own lines
            pass
        except Exception as error:
            failures.append(error)
        for _ in range(5):
            try:
                end.wait()  # no interrupt is sent after it
                if modes() != before:
                    failures.append((number, before, modes()))
                return
            except KeyboardInterrupt:
                continue

    for _ in range(N_ROUNDS // 4):
        start, end = threading.Event(), threading.Event()
        threads = [threading.Thread(target=work, args=(i, start, end)) for i in range(N_THREADS)]
        for thread in threads:
            thread.start()
        start.set()
        for thread in chosen.choices(threads, k=40) if from_outside else []:
            thread.join(chosen.uniform(0, 0.02))
            raise_in(thread)
        end.set()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
        assert not failures, failures[0]
        assert in_new_thread(modes) == expected
        assert (modes(), shared()) == (expected_here, expected_shared)


def test_a_fit_limits_no_other_thread(shared_state_is_put_back, monkeypatch):
    """A small network trains in its own thread alone; threads that start meanwhile are not its business."""
    torch.set_num_threads(2)
    seen, step = [], AdamW.step

    def look(self):
        seen.append((torch.get_num_threads(), in_new_thread(torch.get_num_threads)))
        step(self)

    monkeypatch.setattr(AdamW, "step", look)
    quick(**SMALL).fit(X)
    assert {elsewhere for _, elsewhere in seen} == {2}
    assert torch.get_num_threads() == 2


@pytest.fixture
def shared_state_is_put_back():
    n_threads, rng = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(n_threads)
    torch.set_rng_state(rng)
