"""Plain data as JSON, arrays apart.

What JSON has not is an object of one key, its kind: ``{"tuple": [1, 2]}``. Kinds are looked up in tables of functions:
nothing in a file names code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skae.messages import listed
from skae.persistence.container import ArtifactError

LONG = 32  # lists of so many floats or texts become arrays


class Kind(NamedTuple):
    """How values of a type are written and read."""

    name: str
    write: Callable[[Writer, Any], Any]  # to JSON
    read: Callable[[Reader, Any], Any]


TYPES: dict[type, Kind] = {}  # exact ones, then bases
BASES: dict[type, Kind] = {}
KINDS: dict[str, Kind] = {}


def register(kind: Kind, *types: type, with_subclasses: bool = False) -> None:
    """Add a kind of values, those of these types."""
    KINDS[kind.name] = kind
    (BASES if with_subclasses else TYPES).update(dict.fromkeys(types, kind))


def fields(record: dict[str, Any], *names: str) -> list[Any]:
    """Return the values of a record, which has these names and no others."""
    if set(record) != set(names):
        raise ArtifactError(f"one of its records lacks or adds {sorted(set(record) ^ set(names))!r:.200}")
    return [record[name] for name in names]


class Writer:
    """Turns values into JSON and collects their arrays."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.code: dict[str, Any] = {}  # of the user's, by the parameter that holds it
        self.shared: dict[int, tuple[int, Any]] = {}  # numbers of objects that are written once, by their identities
        self.n_networks = 0

    def of(self, value: Any) -> Any:
        """Return a value as JSON."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float and math.isfinite(value):
            return value
        if type(value) is list:
            return self._of_list(value)
        kind = TYPES.get(type(value)) or next((k for base, k in BASES.items() if isinstance(value, base)), None)
        if kind is None:
            raise TypeError(
                f"{value!r} of type {type(value).__qualname__} cannot be saved: give numbers, text, or lists, tuples, "
                "dicts or arrays of them"
            )
        return {kind.name: kind.write(self, value)}

    def _of_list(self, values: list) -> Any:
        types = set(map(type, values)) if len(values) >= LONG else set()
        if types == {float}:
            return {"floats": self.array(np.array(values))}
        if types == {str}:
            encoded = [value.encode("utf-8", "surrogatepass") for value in values]
            text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
            return {"texts": [self.array(text), self.array(np.array([len(part) for part in encoded]))]}
        return [self.of(value) for value in values]

    def array(self, value: np.ndarray) -> str:
        """Keep an array of numbers; return its name."""
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise TypeError(f"an array of {value.dtype} cannot be saved: give int64, float64 or bool")
        return self.tensor(torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C")))

    def tensor(self, value: Tensor, name: str | None = None) -> str:
        """Keep a tensor; return its name."""
        name = name or str(len(self.tensors))
        # a copy: those of a file share no memory
        self.tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        return name

    def user_code(self, parameter: str, value: Any) -> Any:
        """Return the mark of code of the user's, which `load` is given again."""
        known = self.code.setdefault(parameter, value)
        # clones hold the same function, but copies of another object
        is_function = isinstance(value, FunctionType | BuiltinFunctionType | type)
        if known is not value and (is_function or type(known) is not type(value)):
            raise TypeError(f"{known!r} and {value!r} cannot both be saved: skae.load takes one {parameter}")
        return {"code": parameter}


class Reader:
    """Turns JSON and arrays into values; ``code`` are objects of the user's, by the parameters that take them."""

    def __init__(self, tensors: dict[str, Tensor], code: dict[str, Any]):
        self.tensors, self.given = tensors, code
        self.taken: set[str] = set()
        self.shared: list[Any] = []
        # every layer of a network has a tensor, and every estimator some; so the file's size bounds the work
        self.n_values = sum(tensor.numel() for tensor in tensors.values())
        self.n_layers_left = len(tensors)
        self.n_estimators_left = 16 + 2 * len(tensors)

    def of(self, written: Any) -> Any:
        """Return the value that JSON stands for."""
        if type(written) is list:
            return [self.of(value) for value in written]
        if type(written) is not dict:
            return written
        ((name, content),) = written.items()
        if name not in KINDS:
            raise ArtifactError(f"it holds {name!r}, which this version of skae does not know")
        return KINDS[name].read(self, content)

    def array(self, name: str) -> np.ndarray:
        """Return an array by its name, once."""
        return self.tensors.pop(name).numpy()

    def user_code(self, parameter: str) -> Any:
        """Return the user's object for a parameter."""
        if self.given.get(parameter) is None:
            raise ArtifactError(
                f"its {parameter} is code of yours, which is not in the file: give it, load(path, {parameter}=...)"
            )
        self.taken.add(parameter)
        return self.given[parameter]

    def check_all_used(self) -> None:
        """Raise where an array of the file or an object of the user's was not asked for."""
        if self.tensors:
            raise ArtifactError(f"it holds arrays that belong to nothing: {listed(sorted(self.tensors))}")
        unused = [name for name, value in self.given.items() if value is not None and name not in self.taken]
        if unused:
            raise ArtifactError(f"its {unused[0]} is no code of yours: load it without {unused[0]}=")


def shared(kind: Kind) -> Kind:
    """Return the kind of objects of which each is written once, however often it is held."""

    def write(writer: Writer, value: Any) -> Any:
        if id(value) in writer.shared:
            return writer.shared[id(value)][0]
        written = kind.write(writer, value)
        writer.shared[id(value)] = len(writer.shared), value
        return written

    def read(reader: Reader, content: Any) -> Any:
        if type(content) is int:
            return reader.shared[content]
        reader.shared.append(kind.read(reader, content))
        return reader.shared[-1]

    return Kind(kind.name, write, read)


# ---- kinds ---------------------------------------------------------------------------------------------------


def _read_dict(reader: Reader, pairs: list) -> dict:
    return {reader.of(key): reader.of(value) for key, value in pairs}


def _read_texts(reader: Reader, names: list[str]) -> list[str]:
    text, lengths = map(reader.array, names)
    ends = np.cumsum(lengths)
    if text.dtype != np.uint8 or lengths.dtype != np.int64 or lengths.min() < 0 or ends[-1] != len(text):
        raise ArtifactError("its texts are damaged")
    raw = text.tobytes()
    pairs = zip(ends - lengths, ends, strict=True)
    return [raw[start:end].decode("utf-8", "surrogatepass") for start, end in pairs]


def _write_array(writer: Writer, value: np.ndarray) -> list:
    if value.dtype == object:
        return ["object", value.shape, writer.of(value.ravel().tolist())]
    if value.dtype.kind in "US":
        # its characters, an axis more
        unit, dtype = (np.uint32, "<U") if value.dtype.kind == "U" else (np.uint8, "S")
        plain = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        n = value.dtype.itemsize // np.dtype(unit).itemsize
        return [dtype, None, writer.array(np.frombuffer(plain.tobytes(), unit).reshape(*value.shape, n))]
    return ["number", None, writer.array(value)]


def _read_array(reader: Reader, content: list) -> np.ndarray:
    kind, shape, data = content
    if kind == "object":
        values = reader.of(data)
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array.reshape(shape)
    if shape is not None:
        raise ArtifactError("it holds an array with a second shape")
    array = reader.array(data)
    if kind == "number":
        return array
    dtype = {"<U": np.uint32, "S": np.uint8}[kind]
    if array.dtype != dtype or not array.shape[-1] or (kind == "<U" and (array > 0x10FFFF).any()):
        raise ArtifactError("its texts are damaged")
    return np.frombuffer(array.tobytes(), f"{kind}{array.shape[-1]}").reshape(array.shape[:-1]).copy()


def _write_scalar(writer: Writer, value: np.generic) -> list:
    if value.dtype.kind not in "biufU" or (value.dtype.kind == "f" and value.dtype.itemsize > 8):
        raise TypeError(f"{value!r} of type {type(value).__name__} cannot be saved: give a Python number")
    return [value.dtype.name if value.dtype.kind != "U" else "str", writer.of(value.item())]


_SCALARS = {
    name: getattr(np, name if name != "bool" else "bool_")
    for name in ("bool", *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)), "float16", "float32")
} | {"float64": np.float64, "str": np.str_}


def _read_scalar(reader: Reader, content: list) -> np.generic:
    name, value = content
    return _SCALARS[name](reader.of(value))


def _write_random_state(writer: Writer, value: np.random.RandomState) -> list:
    state: Any = value.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise TypeError("a RandomState of another generator than MT19937 cannot be saved: give a number")
    of_generator = state["state"]
    return [
        writer.array(of_generator["key"]),
        of_generator["pos"],
        state["has_gauss"],
        writer.of(float(state["gauss"])),
    ]


def _read_random_state(reader: Reader, content: list) -> np.random.RandomState:
    name, position, has_gauss, cached = content
    keys = reader.array(name)
    # NumPy would read beyond the keys
    if keys.dtype != np.uint32 or keys.shape != (624,) or position not in range(625) or has_gauss not in (0, 1):
        raise ArtifactError("its random state is damaged")
    state = np.random.RandomState(0)
    state.set_state(("MT19937", keys, int(position), int(has_gauss), float(reader.of(cached))))
    return state


_NUMPY_DTYPE = re.compile(r"[<|](?:[biuf][1248]|O|[US]\d{1,9}|[mM]8(?:\[(?:ns|us|ms|s|m|h|D|W|M|Y)\])?)")


def read_numpy_dtype(text: str) -> np.dtype:
    """Return a dtype of numbers, text or objects by its ``str``."""
    if not _NUMPY_DTYPE.fullmatch(text):
        raise ArtifactError(f"it holds the dtype {text!r}")
    return np.dtype(text)


def _write_numpy_dtype(writer: Writer, value: np.dtype) -> str:
    text = value.newbyteorder("<").str
    if not _NUMPY_DTYPE.fullmatch(text):
        raise TypeError(f"the dtype {value} cannot be saved: convert the column before fit")
    return text


NOT_IN_JSON = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
register(Kind("tuple", lambda w, v: [w.of(x) for x in v], lambda r, c: tuple(map(r.of, c))), tuple)
register(Kind("dict", lambda w, v: [[w.of(k), w.of(x)] for k, x in v.items()], _read_dict), dict)
register(Kind("float", lambda w, v: repr(v), lambda r, c: NOT_IN_JSON[c]), float)
register(Kind("bytes", lambda w, v: v.hex(), lambda r, c: bytes.fromhex(c)), bytes)
register(Kind("floats", lambda w, v: None, lambda r, c: r.array(c).astype(np.float64, casting="safe").tolist()))
register(Kind("texts", lambda w, v: None, _read_texts))
register(Kind("array", _write_array, _read_array), np.ndarray)
register(Kind("tensor", Writer.tensor, lambda r, c: r.tensors.pop(c)), Tensor)
register(Kind("scalar", _write_scalar, _read_scalar), np.generic, with_subclasses=True)
register(Kind("dtype", _write_numpy_dtype, lambda r, c: read_numpy_dtype(c)), np.dtype, with_subclasses=True)
register(Kind("random_state", _write_random_state, _read_random_state), np.random.RandomState)
register(Kind("code", lambda w, v: None, Reader.user_code))
