"""What tells two fits on the same rows apart."""

from __future__ import annotations

import dis
import sys
from collections.abc import Sequence
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone

NOT_IN_KEY = ("device", "verbose")  # they change how a model is trained, not which
PLAIN = (type(None), bool, int, float, complex, str, bytes)
# packages whose names stand for the same code as long as their version is the same
VERSIONED = frozenset({"skae", "torch", "numpy", "scipy", "sklearn", "pandas"})


def fit_key(estimator: BaseEstimator, leave_out: Sequence[str] = ()) -> str:
    """Return a hash that tells an estimator's fit from others within this process.

    Functions and other objects with code are known by their identity, as long as they live.

    Parameters
    ----------
    estimator : estimator
        The estimator to be fitted.
    leave_out : sequence of str, default=()
        Names of the estimator's own parameters that play no part, beside ``device`` and ``verbose``.
    """
    return joblib.hash(_Key(by_identity=True).describe(estimator, leave_out))


def survives_cloning(estimator: BaseEstimator) -> bool:
    """Whether clones of an estimator have its `fit_key`: those of one that holds a callable object do not."""
    key = fit_key(estimator, ["memory"])  # which is not looked up
    return fit_key(clone(estimator), ["memory"]) == key


def cache_key(estimator: BaseEstimator) -> str | None:
    """Return a hash that tells an estimator's fit from those of other processes, or None where that is not sure.

    Functions are known by their code and by all that it refers to, as long as that is plain data, other such functions
    or from packages with a version.
    """
    key = _Key(by_identity=False)
    try:
        described = key.describe(estimator)
    except (RecursionError, ValueError):  # containers that hold themselves, cells that are empty
        return None
    return joblib.hash(described) if key.is_sure else None


class _Key:
    """A description of values by plain data."""

    def __init__(self, by_identity: bool):
        self._by_identity = by_identity
        self._seen: dict[int, int] = {}  # functions may refer to themselves
        self.is_sure = True

    def describe(self, value: Any, leave_out: Sequence[str] = ()) -> Any:
        """Return plain data that is equal for equal values; note where that is not sure."""
        if isinstance(value, PLAIN):
            return type(value).__name__, value
        if isinstance(value, list | tuple):
            return type(value).__name__, [self.describe(item) for item in value]
        if isinstance(value, dict):
            return "dict", [(self.describe(k), self.describe(v)) for k, v in value.items()]
        if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
            return "array", value
        if isinstance(value, np.random.RandomState):
            return "RandomState", value.get_state()
        if isinstance(value, BaseEstimator):
            parameters = value.get_params(deep=False)
            # what others call a device or verbose may change their fits
            is_own = any(kind.__module__.startswith("skae.") for kind in type(value).__mro__)
            left_out = {*leave_out, *(NOT_IN_KEY if is_own else ())}
            described = {k: self.describe(v) for k, v in parameters.items() if k not in left_out}
            return self.describe(type(value)), described
        if self._by_identity:
            return "object", id(value)
        return self._describe_code(value)

    def _describe_code(self, value: Any) -> Any:
        if id(value) in self._seen:
            return "seen", self._seen[id(value)]
        self._seen[id(value)] = len(self._seen)
        if isinstance(value, FunctionType) and not self._is_versioned(value.__module__):
            enclosed = [self.describe(cell.cell_contents) for cell in value.__closure__ or ()]
            defaults = self.describe([value.__defaults__, value.__kwdefaults__])
            return "function", _bytecode(value.__code__), enclosed, defaults, self._describe_globals(value)
        if isinstance(value, partial):
            return "partial", self.describe(value.func), self.describe(value.args), self.describe(value.keywords)
        if isinstance(value, MethodType):
            return "method", self.describe(value.__func__), self.describe(value.__self__)
        if isinstance(value, ModuleType) and self._is_versioned(value.__name__):
            return "module", value.__name__, self._version(value.__name__)
        if isinstance(value, type | FunctionType | BuiltinFunctionType) and self._is_versioned(value.__module__):
            return "name", value.__module__, value.__qualname__, self._version(value.__module__)
        self.is_sure = False
        return None

    def _describe_globals(self, function: FunctionType) -> list:
        """Describe what a function and those within it read from their module, and what they import."""
        described = []
        codes = [function.__code__]
        while codes:
            code = codes.pop()
            codes.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
            for instruction in dis.get_instructions(code):
                name = instruction.argval
                if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and name in function.__globals__:
                    described.append((name, self.describe(function.__globals__[name])))
                elif instruction.opname == "IMPORT_NAME":
                    self.is_sure &= self._is_versioned(name)
                    described.append((name, self._version(name)))
        return described

    @staticmethod
    def _is_versioned(module: str | None) -> bool:
        package = (module or "").partition(".")[0]
        return package in VERSIONED or (package in sys.stdlib_module_names and package != "__main__")

    @staticmethod
    def _version(module: str) -> str:
        package = sys.modules.get(module.partition(".")[0])
        return getattr(package, "__version__", sys.version)


def _bytecode(code: CodeType) -> tuple:
    """Return what a code object does, wherever it was written."""
    constants = [_bytecode(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return sys.version, code.co_code, code.co_exceptiontable, constants, arguments, names
