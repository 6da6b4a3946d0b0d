"""Apply a network to many rows, block by block."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from skae.device import one_thread

# Every block has this many rows, the last one padded. BLAS rounds a row differently in products of different
# sizes, so only blocks of one size give a row the same result alone and among others. On a CPU a block of 256 rows
# stays in the cache.
BLOCK_ROWS = {"cpu": 256, "cuda": 8192, "mps": 8192}
STACKED_ROWS = 128  # in blocks of a stack, so that a single row costs little
STACKED_VALUES = 2**19  # in blocks that are computed at a time, 2 MB


@torch.inference_mode()
def apply_in_blocks(
    function: Callable[[Tensor], Tensor],
    X: np.ndarray,
    device: torch.device,
    dtype: np.dtype,
    stacked: bool = False,
) -> np.ndarray:
    """Apply ``function`` to the rows of X.

    Parameters
    ----------
    function : callable
        Maps a float32 batch (1, B, n_in) on the device to (1, B) or (1, B, n_out).
    X : ndarray of shape (n, n_in)
        Rows, of any float type; never copied as a whole.
    device : torch.device
        Where ``function`` computes.
    dtype : dtype
        Of the result.
    stacked : bool, default=False
        Whether ``function`` also maps (S, B, n_in) to (S, B) or (S, B, n_out). Then S blocks, as long as there are so
        many, are computed at a time on a CPU, in which torch's threads take one each; a product of small matrices
        cannot be shared among them.

    Returns
    -------
    result : ndarray of shape (n,) or (n, n_out)
    """
    stacked = stacked and device.type == "cpu"
    n, size = len(X), STACKED_ROWS if stacked else BLOCK_ROWS[device.type]
    n_stack = min(32, max(4, STACKED_VALUES // (size * X.shape[1]))) if stacked else 1
    in_stacks = n // (n_stack * size) * n_stack * size  # rows
    result: np.ndarray | None = None
    for start, stop, n_blocks in ((0, in_stacks, n_stack), (in_stacks, n, 1)):
        if start == stop:
            continue
        blocks = torch.zeros(n_blocks, size, X.shape[1], dtype=torch.float32, device="cpu")
        rows = blocks.flatten(0, 1).numpy()
        # products of a single block are not to be shared either: they would be rounded differently
        alone = one_thread() if stacked and n_blocks == 1 else nullcontext()
        with torch.autocast(device.type, enabled=False), alone:
            for a in range(start, stop, len(rows)):
                b = min(a + len(rows), stop)
                _copy_into(rows[: b - a], X[a:b])
                out = function(blocks.to(device)).flatten(0, 1)[: b - a].cpu().numpy()
                if result is None:
                    result = np.empty((n, *out.shape[1:]), dtype)
                result[a:b] = out
    assert result is not None  # X has at least one row
    return result


def _copy_into(block: np.ndarray, rows: np.ndarray) -> None:
    with np.errstate(over="raise", under="ignore"):
        try:
            np.copyto(block, rows, casting="same_kind")
        except FloatingPointError as error:
            raise ValueError(too_large_message("X", np.abs(rows).max())) from error


def too_large_message(name: str, largest: float) -> str:
    """Say that an array does not fit in the networks' number format."""
    return (
        f"{name} holds values up to {largest:.3g}, beyond float32, in which networks compute: scale the columns "
        "(StandardScaler)."
    )
