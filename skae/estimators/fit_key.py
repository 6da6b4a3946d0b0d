"""Keys that identify a fit among those on the same rows."""

from __future__ import annotations

import builtins
import dis
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone

from skae.distributed import Processes
from skae.training import RowStream

NOT_IN_KEY = ("device", "verbose")  # they change how a model is trained, not which
OWN_IN_EACH_PROCESS = ("device", "verbose", "memory", "max_memory", "random_state")  # the first one's seed is taken
PLAIN = (type(None), bool, int, float, complex, str, bytes)
# packages whose names stand for the same code as long as their version is the same, Python's for its own
VERSIONED = frozenset({"skae", "torch", "numpy", "scipy", "sklearn", "pandas"})
VERSIONED_WITH_PYTHON = frozenset(
    {"builtins", "cmath", "collections", "copy", "functools", "itertools", "math", "numbers", "operator", "typing"}
)
# builtins by which a function may depend on more than the names in its code
READS_MORE = frozenset({"__import__", "compile", "eval", "exec", "globals", "locals", "open", "vars"})


def fit_key(estimator: BaseEstimator, leave_out: Sequence[str] = ()) -> str:
    """Return a hash that identifies an estimator's fit in this process, as long as what it holds is alive.

    ``leave_out`` names parameters of its own to ignore. Functions and other objects with code are compared by identity.
    """
    return joblib.hash(_Description().of(estimator, leave_out))


def named_key(estimator: BaseEstimator) -> str:
    """Return a hash that identifies an estimator's parameters in any process.

    Functions are described as in `cache_key` where that is certain, and all else that has code by its name only.
    """
    return joblib.hash(_DescriptionByName().of(estimator))


def check_agreement(estimator: BaseEstimator, X: Any, processes: Processes) -> None:
    """Raise where processes that train together differ in parameters, in callbacks or in rows that they share out."""
    if processes.size == 1:
        return
    callbacks = [type(callback).__name__ for callback in getattr(estimator, "_skl_callbacks", ())]
    described: dict[str, Any] = {"estimator": type(estimator).__name__, "callbacks": callbacks}
    if processes.rows == "same" and not isinstance(X, RowStream):  # of which each has some
        described["the shape of X"] = getattr(X, "shape", type(X).__name__)
    for name, value in estimator.get_params().items():
        if name.rpartition("__")[2] not in OWN_IN_EACH_PROCESS:
            value = type(value) if isinstance(value, BaseEstimator) else value  # its parameters follow
            described[name] = joblib.hash(_DescriptionByName().of(value))
    first, *others = processes.gather(described)
    for rank, other in enumerate(others, 1):
        if differing := [name for name in first | other if first.get(name) != other.get(name)]:
            raise ValueError(f"Processes 0 and {rank} differ in {differing}: give all the same.")


def survives_cloning(estimator: BaseEstimator) -> bool:
    """Whether clones of an estimator have its `fit_key`: those of one that holds a callable object do not."""
    key = fit_key(estimator, ["memory"])  # which is not looked up
    return fit_key(clone(estimator), ["memory"]) == key


def cache_key(estimator: BaseEstimator) -> str | None:
    """Return a hash that identifies an estimator's fit in other processes too, or None where that is not certain.

    Functions are described by their code and everything it refers to: plain data, other such functions, and names from
    packages with a version. With anything else it is not certain.
    """
    try:
        return joblib.hash(_DescriptionOfCode().of(estimator))
    except (RecursionError, ValueError):  # containers that hold themselves; what is not certain
        return None


class _Description:
    """Plain data that is equal for equal values, and identities of other objects."""

    def of(self, value: Any, leave_out: Sequence[str] = ()) -> Any:
        if type(value) in PLAIN:
            return type(value).__name__, value
        if type(value) in (list, tuple):
            return type(value).__name__, [self.of(item) for item in value]
        if type(value) is dict:
            return "dict", [(self.of(key), self.of(item)) for key, item in value.items()]
        if (type(value) is np.ndarray or isinstance(value, np.generic)) and not value.dtype.hasobject:
            return "array", value
        if isinstance(value, np.random.RandomState):
            return "RandomState", value.get_state(legacy=False)
        if isinstance(value, BaseEstimator):
            parameters = value.get_params(deep=False)
            # what others call a device or verbose may change their fits
            is_own = any(kind.__module__.startswith("skae.") for kind in type(value).__mro__)
            left_out = {*leave_out, *(NOT_IN_KEY if is_own else ())}
            return self.of(type(value)), {k: self.of(v) for k, v in parameters.items() if k not in left_out}
        return self._of_object(value)

    def _of_object(self, value: Any) -> Any:
        return "object", id(value)


class _DescriptionByName(_Description):
    """Plain data that is equal for equal values and, where it is not certain what code does, for code of one name."""

    def _of_object(self, value: Any) -> Any:
        with suppress(RecursionError, ValueError):
            return _DescriptionOfCode().of(value)
        named = value if hasattr(value, "__qualname__") else type(value)
        return "object", named.__module__, named.__qualname__


class _DescriptionOfCode(_Description):
    """Plain data that is equal for equal values and equal code; a ValueError where that is not certain."""

    def __init__(self):
        self._seen: dict[int, int] = {}  # functions may refer to themselves

    def _of_object(self, value: Any) -> Any:
        if id(value) in self._seen:
            return "seen", self._seen[id(value)]
        self._seen[id(value)] = len(self._seen)
        if isinstance(value, ModuleType):
            return "module", value.__name__, _version(value.__name__)
        if isinstance(value, type | FunctionType | BuiltinFunctionType) and _is_of_a_version(value):
            return "name", value.__module__, value.__qualname__, _version(value.__module__)
        if isinstance(value, FunctionType) and cast(Any, value).__builtins__ is vars(builtins):
            enclosed = [cell.cell_contents for cell in value.__closure__ or ()]  # a ValueError where one is empty
            own = self.of([enclosed, value.__defaults__, value.__kwdefaults__, vars(value)])
            return "function", own, self._of_code(value.__code__, value.__globals__)
        if type(value) is partial:
            return "partial", self.of([value.func, value.args, value.keywords])
        if isinstance(value, MethodType):
            return "method", self.of([value.__func__, value.__self__])
        raise ValueError(f"{value!r} may be another in another process")

    def _of_code(self, code: CodeType, names: dict[str, Any]) -> list:
        """Describe what code does, wherever it was written, and what it reads from ``names`` and imports."""
        arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        variables = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        described: list = [sys.version, code.co_code, code.co_exceptiontable, arguments, variables]
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                described.append(self._of_code(constant, names))
            else:  # sets have another order in another process
                described.append(sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant))
        for instruction in dis.get_instructions(code):
            name = instruction.argval
            if instruction.opname == "IMPORT_NAME":
                described.append((name, _version(name)))
            elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                if name in names:
                    described.append((name, self.of(names[name])))
                elif name in READS_MORE:
                    raise ValueError(f"{name} may read anything")
        return described


def _is_of_a_version(value: Any) -> bool:
    """Whether a function or class is what its name stands for in a package with a version."""
    package = (value.__module__ or "").partition(".")[0]
    found: Any = sys.modules.get(value.__module__) if package in VERSIONED | VERSIONED_WITH_PYTHON else None
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _version(module: str) -> str:
    package = module.partition(".")[0]
    if package in VERSIONED_WITH_PYTHON:
        return sys.version
    if package in VERSIONED and package in sys.modules:
        return sys.modules[package].__version__
    raise ValueError(f"{module} has no version that is known")
