"""What the values of a file must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Check = Callable[[Any], bool]


def is_a(*types: type) -> Check:
    """Return the check for values of exactly these types."""
    return lambda value: type(value) in types


def is_none_or(check: Check) -> Check:
    """Return the check for None and what passes another one."""
    return lambda value: value is None or check(value)


def is_list(check: Check) -> Check:
    """Return the check for lists of what passes another one."""
    return lambda value: type(value) is list and all(map(check, value))


def is_count(value: Any) -> bool:
    """Whether it is an integer of 0 or more."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 0)


def is_flag(value: Any) -> bool:
    """Whether it is a truth value, Python's or NumPy's."""
    return isinstance(value, bool | np.bool_)


def is_float(value: Any) -> bool:
    """Whether it is a number, Python's or NumPy's float64."""
    return isinstance(value, float)


def is_array(dtype: Any, *shape: int | None) -> Check:
    """Return the check for arrays of a dtype and a shape, in which None is any number."""
    return lambda value: (
        type(value) is np.ndarray
        and value.dtype == dtype
        and value.ndim == len(shape)
        and all(n in (None, got) for n, got in zip(shape, value.shape, strict=True))
    )


is_floats = is_array(np.float64, None)
is_numbers = is_array(np.int64, None)


def is_ascending(value: Any) -> bool:
    """Whether it is a vector of floats in their order."""
    return is_floats(value) and bool((value[:-1] <= value[1:]).all())


def is_names(value: Any) -> bool:
    """Whether it is an array of names, as ``feature_names_in_``."""
    return is_array(object, None)(value) and all(type(name) is str for name in value)


def are_classes(value: Any) -> bool:
    """Whether it is an array of distinct values in their order, as ``classes_``."""
    return type(value) is np.ndarray and value.ndim == 1 and len(value) > 0 and np.array_equal(np.unique(value), value)
