"""The number format in which training multiplies matrices: one resolver for every ``precision`` parameter."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from skae._compat import restoring_autocast

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "tf32", "bfloat16")


@contextmanager
def training_precision(device: torch.device, precision: str) -> Iterator[None]:
    """Compute matrix products in a ``precision`` on a device; parameters and sums stay float32.

    Where the device does not support it, they are computed in float32, and the log says so once.
    """
    if precision != "float32" and not _supports(device, precision):
        _warn_once(f"precision={precision!r} is not supported on {device}: training computes in float32.")
        precision = "float32"
    products = torch.backends.cuda.matmul  # convolutions and recurrent layers use tf32 anyway
    earlier, restoring = products.fp32_precision, restoring_autocast(device.type)
    try:
        torch.set_autocast_dtype(device.type, torch.bfloat16)
        torch.set_autocast_cache_enabled(False)  # it would keep weights as they were before a step
        torch.set_autocast_enabled(device.type, precision == "bfloat16")
        if precision == "tf32":
            products.fp32_precision = "tf32"
        yield
    finally:
        deque(restoring, 0)
        if precision == "tf32":
            products.fp32_precision = earlier


def _supports(device: torch.device, precision: str) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # both came with Ampere
    return precision == "bfloat16" and device.type == "cpu"


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)
