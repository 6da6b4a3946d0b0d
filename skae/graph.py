"""Training steps as CUDA graphs: a small network's kernels take less time than launching them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

WARM_UP = 3  # calls before a capture: libraries allocate what they need


class Capture(NamedTuple):
    """A graph and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    x: Tensor
    target: Tensor
    result: Tensor


class Graphed:
    """A function of two tensors on a GPU, captured once for each shape and replayed from then on.

    The function must use the same memory at every call and must not synchronise. If the two tensors are the same
    object in one call, they must be so in every call. If a capture fails, the function is called directly, and the log
    says so once.

    Parameters
    ----------
    function : callable
        (x, target) -> Tensor
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        self._function = function
        self._n_calls: dict[torch.Size, int] = {}
        self._captures: dict[torch.Size, Capture] = {}
        self._refused = False

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the function's result, which is valid until the next call."""
        shape = x.shape
        n_calls = self._n_calls[shape] = self._n_calls.get(shape, 0) + 1
        if n_calls == WARM_UP + 1 and not self._refused:
            self._capture(x, target)
        capture = self._captures.get(shape)
        if capture is None:
            return self._function(x, target)
        capture.x.copy_(x)
        if capture.target is not capture.x:
            capture.target.copy_(target)
        capture.graph.replay()
        return capture.result

    def _capture(self, x: Tensor, target: Tensor) -> None:
        own_x = x.clone()
        own_target = own_x if target is x else target.clone()
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                result = self._function(own_x, own_target)
        except RuntimeError as error:
            self._refused = True
            _refuse(str(error))
            return
        self._captures[x.shape] = Capture(graph, own_x, own_target, result)


_refusals: set[str] = set()


def _refuse(reason: str) -> None:
    if reason not in _refusals:
        _refusals.add(reason)
        logger.warning("Training steps are not captured in a CUDA graph, which makes them slower: %s", reason)
