"""What tells two fits on the same rows apart."""

from __future__ import annotations

import builtins
import dis
import sys
from collections.abc import Sequence
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator

NOT_IN_KEY = ("device", "verbose")  # they change how a model is trained, not which
PLAIN = (type(None), bool, int, float, complex, str, bytes)
# packages whose names stand for the same code as long as their version is the same, Python's for its own
VERSIONED = frozenset({"skae", "torch", "numpy", "scipy", "sklearn", "pandas"})
VERSIONED_WITH_PYTHON = frozenset(
    {"builtins", "cmath", "collections", "copy", "functools", "itertools", "math", "numbers", "operator", "typing"}
)
# builtins by which a function may depend on more than the names in its code
READS_MORE = frozenset({"__import__", "compile", "eval", "exec", "globals", "locals", "open", "vars"})


def fit_key(estimator: BaseEstimator, leave_out: Sequence[str] = ()) -> str:
    """Return a hash that tells an estimator's fit from others within this process.

    Functions and other objects with code are known by their identity, as long as they live.

    Parameters
    ----------
    estimator : estimator
        The estimator to be fitted.
    leave_out : sequence of str, default=()
        Names of parameters that play no part, beside ``device`` and ``verbose``.
    """
    return joblib.hash(_Key({*NOT_IN_KEY, *leave_out}, by_identity=True).describe(estimator))


def cache_key(estimator: BaseEstimator) -> str | None:
    """Return a hash that tells an estimator's fit from those of other processes, or None where that is not sure.

    Functions are known by their code and by all that it refers to, as long as that is plain data, other such functions
    or from packages with a version.
    """
    key = _Key(set(NOT_IN_KEY), by_identity=False)
    described = key.describe(estimator)
    return joblib.hash(described) if key.is_sure else None


class _Key:
    """A description of values by plain data."""

    def __init__(self, leave_out: set[str], by_identity: bool):
        self._leave_out, self._by_identity = leave_out, by_identity
        self._seen: dict[int, int] = {}  # functions may refer to themselves
        self._open: set[int] = set()  # containers being described, which may hold themselves
        self.is_sure = True

    def describe(self, value: Any) -> Any:
        """Return plain data that is equal for equal values; note where that is not sure."""
        if type(value) in PLAIN:
            return type(value).__name__, value
        if type(value) in (list, tuple, dict):
            return self._describe_container(value)
        if (type(value) is np.ndarray or isinstance(value, np.generic)) and not value.dtype.hasobject:
            return "array", value
        if isinstance(value, np.random.RandomState):
            return "RandomState", value.get_state()
        if isinstance(value, BaseEstimator):
            parameters = value.get_params(deep=False)
            described = {k: self.describe(v) for k, v in parameters.items() if k not in self._leave_out}
            return self.describe(type(value)), described
        if self._by_identity:
            return "object", id(value)
        return self._describe_code(value)

    def _describe_container(self, value: Any) -> Any:
        if id(value) in self._open:
            self.is_sure = False
            return "itself"
        self._open.add(id(value))
        items = [item for pair in value.items() for item in pair] if isinstance(value, dict) else value
        described = type(value).__name__, [self.describe(item) for item in items]
        self._open.remove(id(value))
        return described

    def _describe_code(self, value: Any) -> Any:
        if id(value) in self._seen:
            return "seen", self._seen[id(value)]
        self._seen[id(value)] = len(self._seen)
        if isinstance(value, ModuleType) and self._is_versioned(value.__name__):
            return "module", value.__name__, self._version(value.__name__)
        if isinstance(value, type | FunctionType | BuiltinFunctionType) and self._is_of_a_version(value):
            return "name", value.__module__, value.__qualname__, self._version(value.__module__)
        if isinstance(value, FunctionType):
            return self._describe_function(value)
        if type(value) is partial:
            return "partial", self.describe(value.func), self.describe(value.args), self.describe(value.keywords)
        if isinstance(value, MethodType):
            return "method", self.describe(value.__func__), self.describe(value.__self__)
        self.is_sure = False
        return None

    def _describe_function(self, function: FunctionType) -> Any:
        try:
            enclosed = [self.describe(cell.cell_contents) for cell in function.__closure__ or ()]
        except ValueError:  # a cell is empty
            self.is_sure = False
            return None
        own = self.describe([function.__defaults__, function.__kwdefaults__, vars(function)])
        self.is_sure &= function.__builtins__ is vars(builtins)  # type: ignore[attr-defined]
        return "function", _bytecode(function.__code__), enclosed, own, self._describe_globals(function)

    def _describe_globals(self, function: FunctionType) -> list:
        """Describe what a function and those within it read from their module, and what they import."""
        described = []
        codes = [function.__code__]
        while codes:
            code = codes.pop()
            codes.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
            for instruction in dis.get_instructions(code):
                name = instruction.argval
                if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                    if name in function.__globals__:
                        described.append((name, self.describe(function.__globals__[name])))
                    else:
                        self.is_sure &= name not in READS_MORE
                elif instruction.opname == "IMPORT_NAME":
                    self.is_sure &= self._is_versioned(name)
                    described.append((name, self._version(name)))
        return described

    @staticmethod
    def _is_versioned(module: str | None) -> bool:
        return (module or "").partition(".")[0] in VERSIONED | VERSIONED_WITH_PYTHON

    def _is_of_a_version(self, value: Any) -> bool:
        """Whether a function or class is what its name stands for in a package with a version."""
        if not self._is_versioned(value.__module__):
            return False
        found: Any = sys.modules.get(value.__module__)
        for name in value.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is value

    @staticmethod
    def _version(module: str) -> str:
        package = sys.modules.get(module.partition(".")[0])
        return getattr(package, "__version__", sys.version)


def _bytecode(code: CodeType) -> tuple:
    """Return what a code object does, wherever it was written."""
    constants: list[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constants.append(_bytecode(constant))
        else:  # sets have another order in another process
            constants.append(sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant))
    arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return sys.version, code.co_code, code.co_exceptiontable, constants, arguments, names
