"""Another processor, simulated: products differ in the last bit, by their shape and by a row's place in them.

So they do between processors, and on some between a row's places in a block. As on a real one, the same call gives the
same bits. `pytest --other-processor` runs the suite on it.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache

import numpy as np
import torch

_rows_alike = False


@contextmanager
def rows_alike():
    """Let a row be rounded alike wherever it stands in a product; how a product is rounded still depends on its shape.

    For the two checks of scikit-learn that compare a row's results in different company to 1e-7, less than the last bit
    of a float32. They pass where the processor rounds alike what stands in blocks of one size.
    """
    global _rows_alike
    _rows_alike = True
    try:
        yield
    finally:
        _rows_alike = False


@cache
def _direction(shape: tuple[int, ...], alike: bool) -> torch.Tensor:
    """Return to where each value moves by one unit in the last place: to infinity, minus infinity or not at all."""
    rng = np.random.default_rng([97, *shape])
    signs = rng.integers(-1, 2, shape[-1:] if alike else shape)
    return torch.from_numpy(np.broadcast_to(signs, shape).copy())


def _noisy(result: torch.Tensor) -> torch.Tensor:
    if not result.is_floating_point() or not result.numel():
        return result
    if result.dtype not in (torch.float32, torch.float64):
        return _noisy(result.float()).to(result.dtype)
    signs = _direction(tuple(result.shape), _rows_alike)
    moved = torch.nextafter(result, torch.where(signs > 0, torch.inf, -torch.inf).to(result.dtype))
    return torch.where((signs == 0) | (result == 0), result, moved)  # sums of zeros are exact everywhere


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"shapes {tuple(a.shape)} and {tuple(b.shape)} cannot be multiplied")
    # by NumPy, as torch's own products lead here, and in float64, so that the noise alone depends on a row's place
    with np.errstate(all="ignore"):
        product = np.matmul(a.detach().double().numpy(), b.detach().double().numpy())
    return torch.from_numpy(product).to(a.dtype)


def _mm(a, b):
    return _noisy(_product(a, b))


def _addmm(bias, a, b, *, beta=1, alpha=1):
    return _noisy(beta * bias + alpha * _product(a, b) if beta else alpha * _product(a, b))


def _written(function):
    def write(*args, out, **kwargs):
        result = function(*args, **kwargs)
        return out.resize_(result.shape).copy_(result)

    return write


def simulate():
    """Replace torch's products on the CPU, in this process and for good."""
    library = torch.library.Library("aten", "IMPL")
    for name, function in {"mm": _mm, "bmm": _mm, "addmm": _addmm, "baddbmm": _addmm}.items():
        library.impl(name, function, "CPU")
        library.impl(f"{name}.out", _written(function), "CPU")
    return library  # what it replaces comes back when this is collected
