"""A process that is forked while another thread fits computes as any other."""

import multiprocessing
import threading

import numpy as np
import pytest
import torch
from test_base import EveryEpoch, dropout_network, quick

X = np.random.default_rng(0).normal(size=(60, 5))
KINDS = {"dense": {}, "own": {"network": dropout_network}}

pytestmark = [
    pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system does not fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # that is what is tested
]


def fit_and_score(queue):
    """Put the scores of one fit of each kind into a queue."""
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    queue.put([quick(**parameters).fit(X).score_samples(X) for parameters in KINDS.values()])


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_within_another_threads_fit(kind):
    within, go_on, queue = threading.Event(), threading.Event(), multiprocessing.get_context("fork").Queue()

    def wait(epoch, _):
        within.set()
        assert go_on.wait(300)

    fit = threading.Thread(target=lambda: quick(**KINDS[kind]).set_callbacks(EveryEpoch(wait)).fit(X))
    fit.start()
    assert within.wait(300)
    child = multiprocessing.get_context("fork").Process(target=fit_and_score, args=(queue,))
    child.start()
    try:
        scores = queue.get(timeout=120)
        child.join(120)
    finally:
        if child.is_alive():
            child.kill()
        go_on.set()
        fit.join()
    expected = [quick(**parameters).fit(X).score_samples(X) for parameters in KINDS.values()]
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
