"""Tables and layouts: columns, dtypes and levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skae.persistence.container import ArtifactError
from skae.persistence.values import Kind, Reader, Writer, fields, register, shared
from skae.tables import Table, TableLayout
from skae.tables.frames import Column, limits_of

ExtensionDtype = pd.api.extensions.ExtensionDtype
MASKED = [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)] + ["Float32", "Float64", "boolean"]
POLARS = [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
POLARS += ["Float32", "Float64", "Boolean", "String", "Binary", "Categorical", "Null", "Object"]


# ---- dtypes --------------------------------------------------------------------------------------------------


def _write_extension(writer: Writer, dtype: Any) -> list:
    if isinstance(dtype, pd.CategoricalDtype):
        categories = None if dtype.categories is None else writer.of(dtype.categories)
        return ["category", categories, bool(dtype.ordered)]
    if isinstance(dtype, pd.StringDtype):
        return ["string", dtype.storage, dtype.na_value is pd.NA]
    if isinstance(dtype, pd.ArrowDtype):
        return ["arrow", *_write_arrow(dtype.pyarrow_dtype)]
    if isinstance(dtype, pd.IntervalDtype):
        return ["interval", writer.of(dtype.subtype), dtype.closed]
    if str(dtype) in MASKED:
        return ["masked", str(dtype)]
    raise TypeError(f"the dtype {dtype} cannot be saved: convert the column before fit")


def _read_extension(reader: Reader, content: list) -> Any:
    kind, *rest = content
    if kind == "category":
        categories, ordered = rest
        categories = reader.of(categories)
        if not isinstance(categories, pd.Index | None) or type(ordered) is not bool:
            raise ArtifactError("it holds a category without levels")
        return pd.CategoricalDtype(categories, ordered=ordered)
    if kind == "string":
        storage, is_na = rest
        return pd.StringDtype(storage) if is_na else _text_dtype(storage)
    if kind == "arrow":
        return pd.ArrowDtype(_read_arrow(rest))
    if kind == "interval":
        subtype, closed = rest
        return pd.IntervalDtype(reader.of(subtype), closed)
    if kind == "masked" and rest in [[name] for name in MASKED]:
        return pd.api.types.pandas_dtype(*rest)
    raise ArtifactError(f"it holds the dtype {content!r:.80}")


def _text_dtype(storage: str) -> Any:
    """Return the dtype of text of pandas 3, or what comes next to it where there is none."""
    try:
        return pd.StringDtype(storage, na_value=np.nan)
    except ImportError:  # no pyarrow here
        return pd.StringDtype("python", na_value=np.nan)
    except TypeError:  # pandas 2
        return np.dtype(object)


def _write_arrow(dtype: Any) -> list:
    import pyarrow

    if pyarrow.types.is_dictionary(dtype):
        return ["dictionary", _write_arrow(dtype.index_type), _write_arrow(dtype.value_type), dtype.ordered]
    try:
        if pyarrow.type_for_alias(str(dtype)) == dtype:
            return [str(dtype)]
    except ValueError:
        pass
    raise TypeError(f"the dtype {dtype} cannot be saved: convert the column before fit")


def _read_arrow(content: list) -> Any:
    import pyarrow

    if content[0] == "dictionary":
        _, index, value, ordered = content
        return pyarrow.dictionary(_read_arrow(index), _read_arrow(value), bool(ordered))
    (name,) = content
    return pyarrow.type_for_alias(name)


def _write_polars(dtype: Any) -> list:
    name = type(dtype).__name__ if not isinstance(dtype, type) else dtype.__name__
    if name == "Enum":
        return [name, dtype.categories.to_list()]
    if name == "Decimal":
        return [name, dtype.precision, dtype.scale]
    if name not in POLARS:
        raise TypeError(f"the dtype {dtype} cannot be saved: convert the column before fit")
    return [name]


def _read_polars(content: list) -> Any:
    import polars

    name, *rest = content
    if name not in (*POLARS, "Enum", "Decimal"):
        raise ArtifactError(f"it holds the dtype {name!r:.80}")
    return getattr(polars, name)(*rest)


# ---- levels --------------------------------------------------------------------------------------------------


def _write_timestamp(writer: Writer, value: pd.Timestamp) -> list:
    if value.tz is not None:
        raise TypeError(f"{value!r} cannot be saved: remove the time zone before fit")
    return [value.unit, int(value.asm8.astype(np.int64))]


def _read_index(reader: Reader, content: list) -> pd.Index:
    values, dtype = map(reader.of, content)
    index = pd.Index(values, dtype=dtype)
    if any(type(value) is list for value in values) or not index.is_unique:
        raise ArtifactError("it holds a category whose levels are not values, each another")
    return index


# ---- tables --------------------------------------------------------------------------------------------------


def _identity(dtype: Any) -> Any:
    # equal ones may have their categories in another order
    return id(dtype) if isinstance(dtype, pd.CategoricalDtype) else dtype


def _write_table(writer: Writer, table: Table) -> dict[str, Any]:
    names = [column.name for column in table.columns]
    distinct: dict[Any, tuple[int, Any]] = {}  # number and dtype
    for column in table.columns:
        distinct.setdefault(_identity(column.dtype), (len(distinct), column.dtype))
    numbers = [distinct[_identity(column.dtype)][0] for column in table.columns]
    write = _write_polars if table.container == "polars" else writer.of
    return {
        "container": table.container,
        "names": None if names == list(range(len(names))) else writer.of(names),
        "dtypes": [write(dtype) for _, dtype in distinct.values()],
        "dtype_numbers": writer.array(np.array(numbers)),
        "levels": [[j, writer.of(c.levels)] for j, c in enumerate(table.columns) if c.levels is not None],
    }


def _read_table(reader: Reader, content: dict[str, Any]) -> Table:
    container, names, dtypes, numbers, levels = fields(
        content, "container", "names", "dtypes", "dtype_numbers", "levels"
    )
    names, numbers = reader.of(names), reader.array(numbers)
    dtypes = [_read_polars(dtype) if container == "polars" else reader.of(dtype) for dtype in dtypes]
    levels = {j: reader.of(index) for j, index in map(tuple, levels)}
    kinds: dict[str, Any] = {"array": np.dtype, "pandas": (np.dtype, ExtensionDtype), "polars": object}
    if (
        not all(isinstance(dtype, kinds[container]) for dtype in dtypes)
        or numbers.dtype != np.int64
        or numbers.ndim != 1
        or not len(numbers)
        or ((numbers < 0) | (numbers >= len(dtypes))).any()
        or not all(type(j) is int and 0 <= j < len(numbers) for j in levels)
        or not all(isinstance(index, pd.Index) and len(index) for index in levels.values())
    ):
        raise ArtifactError("its table is damaged")
    limits = [limits_of(dtype) for dtype in dtypes]
    names = range(len(numbers)) if names is None else names
    of_columns = enumerate(zip(names, numbers.tolist(), strict=True))
    columns = [Column(name, dtypes[i], levels.get(j), limits[i]) for j, (name, i) in of_columns]
    return Table(tuple(columns), container)


def _write_layout(writer: Writer, layout: TableLayout) -> dict[str, Any]:
    return {
        "n_levels": writer.array(np.array(layout.n_levels)),
        "means": writer.array(layout.means),
        "scale": float(layout.scale),
        "frequencies": [writer.array(frequencies) for frequencies in layout.frequencies],
        "flags": [int(j) for j in layout.flags],
        "unresolved": [int(j) for j in layout.unresolved],
    }


def _read_layout(reader: Reader, content: dict[str, Any]) -> TableLayout:
    n_levels, means, scale, frequencies, flags, unresolved = fields(
        content, "n_levels", "means", "scale", "frequencies", "flags", "unresolved"
    )
    n_levels, means, frequencies = reader.array(n_levels), reader.array(means), [reader.array(f) for f in frequencies]
    if n_levels.dtype != np.int64 or n_levels.ndim != 1 or n_levels.min() < 0:
        raise ArtifactError("its layout of a table is damaged")
    layout = TableLayout(tuple(n_levels.tolist()), means, scale, frequencies, flags, tuple(unresolved))
    of_levels = [layout.n_levels[j] for j in layout.categories]
    columns = [*flags, *unresolved]
    if (
        (means.dtype, means.shape) != (np.float64, (len(layout.numbers),))
        or type(scale) is not float
        or not 0 < scale < np.inf
        or any(f.dtype != np.float64 or not (f > 0).all() for f in frequencies)
        or [f.shape for f in frequencies] != [(n,) for n in of_levels]
        or not all(type(j) is int and 0 <= j < len(n_levels) for j in columns)
        or flags != sorted(set(flags))
    ):
        raise ArtifactError("its layout of a table is damaged")
    return layout


register(Kind("extension_dtype", _write_extension, _read_extension), ExtensionDtype, with_subclasses=True)
register(Kind("index", lambda w, v: [w.of(v.tolist()), w.of(v.dtype)], _read_index), pd.Index, with_subclasses=True)
register(
    Kind(
        "interval",
        lambda w, v: [w.of(v.left), w.of(v.right), v.closed],
        lambda r, c: pd.Interval(r.of(c[0]), r.of(c[1]), c[2]),
    ),
    pd.Interval,
)
register(Kind("timestamp", _write_timestamp, lambda r, c: pd.Timestamp(np.datetime64(c[1], c[0]))), pd.Timestamp)
register(shared(Kind("table", _write_table, _read_table)), Table)
register(shared(Kind("layout", _write_layout, _read_layout)), TableLayout)
