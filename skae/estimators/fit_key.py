"""Keys that identify a fit among those on the same rows."""

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
from sklearn.base import BaseEstimator, clone

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
    """Return a hash that identifies an estimator's fit within this process.

    Functions and other objects with code are compared by identity: they must stay alive as long as the key is used.

    Parameters
    ----------
    estimator : estimator
        The estimator to be fitted.
    leave_out : sequence of str, default=()
        Names of the estimator's own parameters to ignore, in addition to ``device`` and ``verbose``.
    """
    return joblib.hash(_Key(by_identity=True).describe(estimator, leave_out))


def survives_cloning(estimator: BaseEstimator) -> bool:
    """Whether clones of an estimator have its `fit_key`: those of one that holds a callable object do not."""
    key = fit_key(estimator, ["memory"])  # which is not looked up
    return fit_key(clone(estimator), ["memory"]) == key


def cache_key(estimator: BaseEstimator) -> str | None:
    """Return a hash that identifies an estimator's fit in other processes too, or None where that is not certain.

    Functions are described by their code and everything it refers to: plain data, other such functions, and names from
    packages with a version. With anything else it is not certain.
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
        self._open: set[int] = set()  # containers being described, which may hold themselves
        self.is_sure = True

    def describe(self, value: Any, leave_out: Sequence[str] = ()) -> Any:
        """Return plain data that is equal for equal values; set ``is_sure`` to False where that is not certain."""
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
            # what others call a device or verbose may change their fits
            is_own = any(kind.__module__.startswith("skae.") for kind in type(value).__mro__)
            left_out = {*leave_out, *(NOT_IN_KEY if is_own else ())}
            described = {k: self.describe(v) for k, v in parameters.items() if k not in left_out}
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
        self.is_sure &= function.__builtins__ is vars(builtins)
        return "function", _bytecode(function.__code__), enclosed, own, self._describe_globals(function)

    def _describe_globals(self, function: FunctionType) -> list:
        """Describe what a function, and the functions within it, read from their module and import."""
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
