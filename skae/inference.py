"""Apply a network to many rows, block by block."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from skae._compat import in_own_modes, limit_to_one_thread, versions_of
from skae.interfaces import Network

N = TypeVar("N", bound=Network)

# Rows of a block; the last one is padded. BLAS rounds a row differently in products of different sizes; in blocks of
# one size its results in different calls agree as closely as the processor allows. On a CPU a block stays in the cache.
BLOCK_ROWS = {"cpu": 256, "cuda": 8192, "mps": 8192}
FEW_ROWS = 32  # in the block of a call with no more rows, so that a single row costs little
BATCHED_ROWS = 128  # in each block of a batch
BATCHED_VALUES = 2**19  # in blocks that are computed at a time, 2 MB

_copies: WeakKeyDictionary[Network, dict] = WeakKeyDictionary()  # of networks on other devices
_copying = threading.RLock()


def _renew_lock() -> None:
    global _copying
    _copying = threading.RLock()


if hasattr(os, "register_at_fork"):  # another thread may hold the lock, and there is none in the child to release it
    os.register_at_fork(after_in_child=_renew_lock)


def network_for_scoring(network: N, device: torch.device) -> N:
    """Return the network if it is on the device and in evaluation mode, else a copy that is: threads may share it.

    A copy on another device is kept as long as the network is, and made anew where its weights have changed.
    """
    is_elsewhere = network.device != device
    if not is_elsewhere and not (network.depends_on_mode and any(module.training for module in network.modules())):
        return network
    tensors = [*network.parameters(), *network.buffers()]
    if not is_elsewhere:
        return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors}).eval()  # of the same weights
    with _copying:
        copies = _copies.setdefault(network, {})
        versions = [*map(id, tensors)], versions_of(tensors)
        if device not in copies or copies[device][0] != versions:
            copies[device] = versions, copy.deepcopy(network).to(device).eval()
        return copies[device][1]


def apply_network(
    network: N, function: Callable[[N, Tensor], Tensor], X: np.ndarray, device: torch.device, dtype: np.dtype
) -> np.ndarray:
    """Apply a function of a network on the device to the rows of X, (n, n_in) -> (n,) or (n, n_out).

    The function maps a batch (1, B, n_in) to (1, B) or (1, B, n_out); where the network ``broadcasts``, any number of
    batches at once. Rows whose result is not finite, as their float32 products or squares overflow, are computed in
    float64. X is never copied as a whole.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        fast = network.for_inference(keep=len(X) <= FEW_ROWS)
        apply = partial(apply_in_blocks, lambda x: function(fast, x), X, device, dtype, network.broadcasts)
        # many blocks at a time are shared out one by one
        is_small = not network.broadcasts and network.is_small(BLOCK_ROWS[device.type])
        result = limit_to_one_thread(apply) if is_small else apply()
        if np.isfinite(result.sum()):
            return result
        overflown = ~np.isfinite(result).reshape(len(X), -1).all(1)
        if overflown.any():
            in_float64 = copy.deepcopy(network).cpu().double()
            in_modes, numbers = in_own_modes(inference=True)(function), np.flatnonzero(overflown)
            for start in range(0, len(numbers), BLOCK_ROWS["cpu"]):
                part = numbers[start : start + BLOCK_ROWS["cpu"]]
                rows = torch.from_numpy(X[part].astype(np.float64))
                result[part] = in_modes(in_float64, rows.unsqueeze(0)).squeeze(0).numpy()
    return result


@in_own_modes(inference=True)
def apply_in_blocks(
    function: Callable[[Tensor], Tensor], X: np.ndarray, device: torch.device, dtype: np.dtype, broadcasts: bool = False
) -> np.ndarray:
    """Apply a function block by block.

    Where it ``broadcasts``, many blocks are computed at a time on a CPU, as long as there are so many: torch's threads
    take one each, and cannot share a product of small matrices.
    """
    batched = broadcasts and device.type == "cpu"
    n, size = len(X), BLOCK_ROWS[device.type]
    if batched:
        size = FEW_ROWS if n <= FEW_ROWS else BATCHED_ROWS
    n_blocks = min(48, max(4, BATCHED_VALUES // (size * X.shape[1]))) if batched else 1
    in_batches = n // (n_blocks * size) * n_blocks * size  # rows
    result: np.ndarray | None = None

    def apply(start: int, stop: int, n_blocks: int) -> None:
        nonlocal result
        blocks = torch.zeros(n_blocks, size, X.shape[1], dtype=torch.float32, device="cpu")
        rows = blocks.flatten(0, 1).numpy()
        for a in range(start, stop, len(rows)):
            b = min(a + len(rows), stop)
            _copy_into(rows[: b - a], X[a:b])
            out = function(blocks.to(device)).flatten(0, 1)[: b - a].cpu().numpy()
            if result is None:
                result = np.empty((n, *out.shape[1:]), dtype)
            result[a:b] = out

    if in_batches:
        apply(0, in_batches, n_blocks)
    if in_batches < n:
        if batched:  # products of a single block are not shared either: they would be rounded differently
            limit_to_one_thread(apply, in_batches, n, 1)
        else:
            apply(in_batches, n, 1)
    assert result is not None  # X has at least one row
    return result


@in_own_modes(inference=True)
def apply_members(
    network: N, function: Callable[[N, Tensor], Tensor], X: np.ndarray, device: torch.device
) -> np.ndarray:
    """Apply a function of a network of K members, on the device, to the same rows, (n, n_in) -> (K, n, ...), float64.

    It maps a batch (K, B, n_in) to (K, B, ...).
    """
    n, size = len(X), BLOCK_ROWS[device.type]
    if device.type == "cpu":
        size = FEW_ROWS if n <= FEW_ROWS else BATCHED_ROWS
    fast = network.for_inference(keep=len(X) <= FEW_ROWS)
    block = torch.zeros(1, size, X.shape[1], dtype=torch.float32, device="cpu")

    def apply() -> np.ndarray:
        result: np.ndarray | None = None
        for start in range(0, n, size):
            stop = min(start + size, n)
            _copy_into(block[0, : stop - start].numpy(), X[start:stop])
            batch = block.to(device).expand(network.n_members, -1, -1)
            out = function(fast, batch)[:, : stop - start].cpu().numpy()
            if result is None:
                result = np.empty((len(out), n, *out.shape[2:]))
            result[:, start:stop] = out
        assert result is not None  # X has at least one row
        return result

    with np.errstate(over="ignore", invalid="ignore"):
        return limit_to_one_thread(apply) if network.is_small(size) else apply()


def _copy_into(block: np.ndarray, rows: np.ndarray) -> None:
    with np.errstate(over="raise", under="ignore"):
        try:
            np.copyto(block, rows, casting="same_kind")
        except FloatingPointError as error:
            raise ValueError(too_large_message("X", np.nanmax(np.abs(rows)))) from error


def too_large_message(name: str, largest: float) -> str:
    """Say that an array does not fit in the networks' number format."""
    return (
        f"{name} holds values up to {largest:.3g}, beyond float32, in which networks compute: scale the columns "
        "(StandardScaler)."
    )
