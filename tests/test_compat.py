"""What stands between skae and private interfaces; run against the oldest versions by `.ci/oldest`."""

import threading
from contextlib import suppress

import numpy as np
import pytest
import torch

from skae import AutoEncoderTransformer, _compat
from skae._compat import limit_to_one_thread, warn_user
from skae.networks import activations
from skae.training import steps


@pytest.fixture
def three_threads():
    n = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(n)


def fail():
    assert torch.get_num_threads() == 1
    raise KeyError


def test_the_number_of_threads_is_put_back(three_threads):
    assert limit_to_one_thread(torch.get_num_threads) == 1
    assert torch.get_num_threads() == 3
    with suppress(KeyError):
        limit_to_one_thread(fail)
    assert torch.get_num_threads() == 3


def test_the_number_of_threads_is_the_calling_threads_own(three_threads):
    """A thread that starts meanwhile is not limited, then or later."""
    seen = []

    def start_another():
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()

    limit_to_one_thread(start_another)
    start_another()
    assert seen == [3, 3]


def fit(X):
    return AutoEncoderTransformer(2, hidden_layer_sizes=(8,), activation="silu", max_iter=3, random_state=0).fit(X)


def test_without_torchs_kernels_the_same_is_trained(plane, monkeypatch):
    expected = fit(plane)
    monkeypatch.setattr(steps, "fused_adamw", _compat.adamw_of_torch)
    monkeypatch.setattr(activations, "ACTIVATION_BACKWARD", dict.fromkeys(activations.ACTIVATION_BACKWARD))
    monkeypatch.setattr(_compat, "_SETTERS", None)
    np.testing.assert_allclose(fit(plane).loss_curve_, expected.loss_curve_, rtol=1e-4)


def test_a_warning_points_at_the_caller():
    with pytest.warns(UserWarning, match="look here") as caught:
        warn_user("look here")
    assert caught[0].filename == __file__
