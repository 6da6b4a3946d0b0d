import logging

import numpy as np
import pytest
import torch

from skae import AutoEncoderTransformer, DenoisingAutoEncoder
from skae import graph as graph_module
from skae.graph import WARM_UP, Graphed

HAS_GPU = torch.cuda.is_available()


@pytest.mark.skipif(HAS_GPU, reason="a GPU does not refuse")
def test_where_captures_are_refused_the_function_is_called_and_the_log_says_so_once(caplog):
    calls = []
    with caplog.at_level(logging.WARNING, logger="skae"):
        for _ in range(2):
            add = Graphed(lambda x, target: (calls.append(1), x + target)[1])
            for k in range(WARM_UP + 3):
                assert add(torch.tensor([k]), torch.tensor([1])).item() == k + 1
    assert len(calls) == 2 * (WARM_UP + 3)
    assert [record.getMessage().startswith("Training steps are not captured") for record in caplog.records] == [True]


class Recorder:
    """A CUDA graph that remembers the function instead of its kernels."""

    def __init__(self):
        self.replay = lambda: None


@pytest.mark.parametrize("same", [True, False])
def test_a_replay_reads_what_it_is_given(same, monkeypatch):
    recording = []

    class Capturing:
        def __init__(self, graph):
            self.graph = graph

        def __enter__(self):
            recording.append(self.graph)

        def __exit__(self, *exception):
            recording.pop()

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recorder)
    monkeypatch.setattr(torch.cuda, "graph", Capturing)
    results = {}

    def double(x, target):
        if recording:
            result = torch.zeros_like(x)
            recording[0].replay = lambda: result.copy_(x + target)
            results[x.shape] = result
            return result
        return x + target

    graphed = Graphed(double)
    for k in range(2 * WARM_UP + 4):
        x = torch.full((2 + k % 2,), float(k))  # two shapes in turn
        target = x if same else x + 1
        assert graphed(x, target).equal(x + target)
    assert len(results) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA GPU")
@pytest.mark.parametrize("kind", [AutoEncoderTransformer, DenoisingAutoEncoder])
def test_captured_steps_train_as_others(kind, digits, monkeypatch):
    captured = kind(8, hidden_layer_sizes=(32,), max_iter=5, random_state=0, device="cuda").fit(digits)
    monkeypatch.setattr(graph_module, "WARM_UP", 10**9)
    plain = kind(8, hidden_layer_sizes=(32,), max_iter=5, random_state=0, device="cuda").fit(digits)
    np.testing.assert_allclose(captured.loss_curve_, plain.loss_curve_, rtol=1e-4)
