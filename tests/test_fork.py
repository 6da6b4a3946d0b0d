"""Processes that are forked, at any time, or started anew compute as any other."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from test_base import EveryEpoch, dropout_network, quick

X = np.random.default_rng(0).normal(size=(60, 5))
KINDS = {"dense": {}, "own": {"network": dropout_network}}

forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system does not fork")
# that is what is tested
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def fit_and_score(queue):
    """Put the scores of one fit of each kind into a queue."""
    queue.put([quick(**parameters).fit(X).score_samples(X) for parameters in KINDS.values()])


@forks
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


MANY = np.random.default_rng(1).normal(size=(3000, 20)).astype(np.float32)  # several threads score them
WIDE = {"hidden_layer_sizes": (512, 256), "batch_size": 1024, "max_iter": 1}  # and train this


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def compute(model):
    """Return the scores of a fitted model and of a new one."""
    return model.score_samples(MANY), quick(**WIDE).fit(MANY).score_samples(MANY)


def compute_in_child(model, queue):
    threads_before = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:  # of the child's own
        queue.put([compute(model), pool.submit(compute, model).result(), threads_before, torch.get_num_threads()])


def result_of_child(kind, target, *args):
    """Return what a process puts into a queue; fail where it hangs."""
    context = multiprocessing.get_context(kind)
    queue = context.Queue()
    child = context.Process(target=target, args=(*args, queue))
    child.start()
    try:
        found = queue.get(timeout=120)
        child.join(120)
        assert child.exitcode == 0
        return found
    finally:
        if child.is_alive():
            child.kill()


@forks
def test_a_child_computes_alone_where_the_parents_threads_are_lost(two_threads):
    model = quick(**WIDE).fit(MANY)
    expected = compute(model)  # OpenMP has started threads of the calling one
    *found, before, after = result_of_child("fork", compute_in_child, model)
    for results in found:
        np.testing.assert_allclose(results, expected, rtol=1e-3, atol=1e-4)
    assert before == after == 1
    assert torch.get_num_threads() == 2


@forks
def test_forks_while_threads_score_and_fit(two_threads):
    model, end = quick().fit(X), threading.Event()
    expected = [quick(**parameters).fit(X).score_samples(X) for parameters in KINDS.values()]

    def work(function):
        while not end.is_set():
            function()

    def fit_network_of_ones_own():
        quick(network=dropout_network).fit(X)  # holds a lock

    functions = [lambda: model.score_samples(MANY[:, :5]), lambda: quick().fit(X), fit_network_of_ones_own]
    threads = [threading.Thread(target=work, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            np.testing.assert_allclose(result_of_child("fork", fit_and_score), expected, rtol=1e-4)
    finally:
        end.set()
        for thread in threads:
            thread.join()


@pytest.mark.long  # it imports everything
def test_a_spawned_process_computes_the_same():
    model = quick(**WIDE).fit(MANY)
    found = result_of_child("spawn", compute_in_child, model)
    np.testing.assert_allclose(found[0], compute(model), rtol=1e-3, atol=1e-4)
    assert found[2] == found[3]


def compute_in_worker(model):
    return compute(model), torch.get_num_threads()


def test_workers_of_joblib_share_the_processors(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    model = quick(**WIDE).fit(MANY)
    # workers of their own, which no earlier test has started
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        found = joblib.Parallel(n_jobs=2, timeout=300)(joblib.delayed(compute_in_worker)(model) for _ in range(2))
    for results, n_threads in found:
        np.testing.assert_allclose(results, compute(model), rtol=1e-3, atol=1e-4)
        assert n_threads == 1
