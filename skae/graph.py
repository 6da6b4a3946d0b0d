"""Training steps as CUDA graphs: a small network's kernels take less time than launching them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import cache
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
    object in one call, they must be so in every call. If a capture fails, the function is called directly.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        self._function = function
        self._n_calls: Counter[torch.Size] = Counter()
        self._captures: dict[torch.Size, Capture] = {}
        self._has_failed = False

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the function's result, which is valid until the next call."""
        self._n_calls[x.shape] += 1
        if self._n_calls[x.shape] == WARM_UP + 1 and not self._has_failed:
            self._capture(x, target)
        capture = self._captures.get(x.shape)
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
            self._has_failed = True
            _warn_once(str(error))
        else:
            self._captures[x.shape] = Capture(graph, own_x, own_target, result)


@cache
def _warn_once(reason: str) -> None:
    logger.warning("Training steps are not captured in a CUDA graph, which makes them slower: %s", reason)
