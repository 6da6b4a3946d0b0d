"""Training by several processes, each on its own rows, with `torch.distributed`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """Those that train one network together, and what they exchange; a process by itself exchanges nothing.

    ``rows`` says what `fit` is given in each: "shards", rows of its own, or "same", the rows of all.
    """

    rank: int = 0
    size: int = 1
    rows: str = "same"

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, in the order of their ranks."""
        values: list[Any] = [value] * self.size
        self._exchange(distributed.all_gather_object, values, value)
        return values

    def first(self, value: T) -> T:
        """Return the value of the first process."""
        values = [value]
        self._exchange(distributed.broadcast_object_list, values, src=0)
        return values[0]

    def sum(self, values: np.ndarray, device: torch.device) -> np.ndarray:
        """Return the sum over the processes."""
        if self.size == 1:
            return values
        total = torch.from_numpy(np.ascontiguousarray(values)).to(device)
        self._exchange(distributed.all_reduce, total)
        return total.cpu().numpy()

    def average(self, tensors: Sequence[Tensor], share: float, dtype: torch.dtype = torch.float32) -> None:
        """Replace tensors by their means over the processes, weighted by ``share``, in one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).to(dtype) for tensor in tensors]).mul_(share)
        self._exchange(distributed.all_reduce, flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        for tensor in tensors if self.size > 1 else ():
            self._exchange(distributed.broadcast, tensor, src=0)

    def all_or_none(self, function: Callable[[], T]) -> T:
        """Call a function, without exchanges, in each process; where it raises in one, raise a ValueError in others."""
        if self.size == 1:
            return function()
        result, error = None, None
        try:
            result = function()
        except Exception as raised:
            error = raised
        messages = self.gather(None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        for rank, message in enumerate(messages):
            if message is not None:
                raise ValueError(f"In process {rank}: {message}")
        return result  # type: ignore[return-value]

    def _exchange(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if self.size == 1:
            return
        try:
            function(*args, **kwargs)
        except RuntimeError as error:
            raise ConnectionError(
                f"Another of the {self.size} processes of this training has ended, or did not answer in time."
            ) from error


ALONE = Processes()
_current: ContextVar[Processes] = ContextVar("processes", default=ALONE)


def current_processes() -> Processes:
    """Return the processes that train together here."""
    return _current.get()


@contextmanager
def alone() -> Iterator[None]:
    """Let fits train in this process only."""
    token = _current.set(ALONE)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def data_parallel(rows: str = "shards", timeout: float = 60.0) -> Iterator[Processes]:
    """Let the fits of several processes train one model: each takes a part of every batch, gradients are averaged.

    Start the script with ``torchrun``. Every process calls the same fits, with the same parameters, and has the same
    fitted estimators afterwards. ``batch_size`` is that of all processes together. Processes on CPUs exchange by gloo,
    on NVIDIA GPUs by NCCL, one GPU a process with ``device="auto"``. A process group that has been initialised before
    is used.

    Parameters
    ----------
    rows : {"shards", "same"}, default="shards"
        What each process gives to `fit`: "shards", rows of its own; "same", all rows, which are then shared out.
    timeout : float, default=60.0
        Seconds to wait for another process before a ConnectionError, in a process group that starts here. A process
        that waits while another reads a much larger shard needs more.

    Yields
    ------
    processes : Processes
        With the ``rank`` of this process and their number, ``size``.

    Raises
    ------
    ValueError
        If ``rows`` is unknown.
    RuntimeError
        If the script was not started by ``torchrun`` and there is no process group.
    ConnectionError
        From a fit, if another process has ended. The estimator is left as it was.

    Examples
    --------
    A script for ``torchrun --nproc-per-node 2 script.py``:

    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoEncoderTransformer
    >>> from skae.distributed import data_parallel
    >>> def main():
    ...     X, _ = load_iris(return_X_y=True)
    ...     with data_parallel() as processes:
    ...         own = X[processes.rank :: processes.size]
    ...         return AutoEncoderTransformer(2, random_state=0).fit(own)
    """
    if rows not in ("shards", "same"):
        raise ValueError(f"rows={rows!r} must be 'shards' or 'same'.")
    with ExitStack() as stack:
        if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
            stack.enter_context(torch.cuda.device(int(os.environ["LOCAL_RANK"])))
        if not distributed.is_initialized():
            if "RANK" not in os.environ:
                raise RuntimeError("data_parallel needs several processes: torchrun --nproc-per-node 2 script.py")
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            distributed.init_process_group(backend, timeout=timedelta(seconds=timeout))
            stack.callback(distributed.destroy_process_group)
        processes = Processes(distributed.get_rank(), distributed.get_world_size(), rows)
        token = _current.set(processes)
        try:
            yield processes
        finally:
            _current.reset(token)
