"""Frames and arrays, as users have them, to cells and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn.utils.validation import check_array, validate_data

from skae.messages import listed
from skae.tables.layout import CellStatistics, TableLayout
from skae.training import RowStream

FLOATS = (np.float64, np.float32)
IDENTIFIER_ROWS = 20  # from which on a level of its own for each row is no coincidence
LEVELS = (str, bytes, bool, int, float, np.number, np.bool_)
NUMERIC_OBJECTS = ("integer", "floating", "mixed-integer-float", "decimal", "empty")
FLOAT32 = np.dtype(np.float32)


class Column(NamedTuple):
    """What a fit has learned of a column."""

    name: Any
    dtype: Any  # the user's
    levels: pd.Index | None  # of a category, in the order in which they appear; None for numbers
    limits: tuple[float, float] | None  # of integers

    @property
    def n_levels(self) -> int:
        """Number of levels, 0 for numbers."""
        return 0 if self.levels is None else len(self.levels)

    def decode(self, cells: np.ndarray) -> Any:
        """Return cells without holes as levels or numbers."""
        if self.levels is not None:
            return self.levels.take(cells.astype(int)).to_numpy()
        return cells if self.limits is None else cells.round().clip(*self.limits)


@dataclass(frozen=True)
class Table:
    """The columns of a fit, and what they came in."""

    columns: tuple[Column, ...]
    container: str  # "array", "pandas" or "polars"

    @classmethod
    def of_numbers(cls, n_columns: int) -> Table:
        """Return that of a float array."""
        return cls(tuple(Column(j, np.dtype(float), None, None) for j in range(n_columns)), "array")

    @cached_property
    def n_levels(self) -> tuple[int, ...]:
        """Number of levels of each column, 0 for numbers."""
        return tuple(column.n_levels for column in self.columns)

    @property
    def names(self) -> list:
        """Names of the columns."""
        return [column.name for column in self.columns]

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is an array of numbers."""
        return self.container == "array" and not any(self.n_levels)

    def layout(self, cells: np.ndarray | RowStream, has_all_flags: bool) -> TableLayout | None:
        """Return the layout of training rows, None for numbers without holes."""
        if not any(self.n_levels) and not has_holes(cells):
            return None
        if (empty := _are_empty(cells)).any():
            names = _some([column.name for column in self.columns], empty)
            raise ValueError(f"Columns {names} of X have no value in the rows to train on: drop them.")
        return TableLayout.of_cells(cells, self.n_levels, has_all_flags)

    def decode(self, cells: np.ndarray, like: Any = None) -> Any:
        """Return cells without holes in what the fit was given: a frame of its columns and dtypes, or an array.

        A pandas frame has the index of the frame that it is made ``like``.
        """
        if self.is_plain:
            return cells
        names = [column.name for column in self.columns]
        values = [column.decode(part) for column, part in zip(self.columns, cells.T, strict=True)]
        dtypes = [column.dtype for column in self.columns]
        if self.container == "array":
            # text would cut numbers off
            dtype = object if dtypes[0].kind in "US" else dtypes[0]
            return np.column_stack([np.asarray(part, dtype=dtype) for part in values])
        if self.container == "polars":
            import polars

            series = [polars.Series(list(part), strict=False).cast(dtypes[i]) for i, part in enumerate(values)]
            return polars.DataFrame(dict(zip(names, series, strict=True)))
        index = like.index if isinstance(like, pd.DataFrame) else None
        parts = [pd.Series(part, index=index).astype(dtypes[i]) for i, part in enumerate(values)]
        return pd.concat(parts, axis=1).set_axis(names, axis=1)


def read_rows(
    estimator: Any,
    X: Any,
    table: Table | None,
    categorical_features: Any = None,
    takes_holes: bool = True,
    may_be_empty: bool = False,
    grows: bool = False,
) -> tuple[Table, np.ndarray]:
    """Return the table of X and its cells, a float array, (n_samples, n_features); raise where X is not valid.

    Without a ``table`` one is learned: ``categorical_features`` says which columns are categories, as in
    `sklearn.ensemble.HistGradientBoostingClassifier`; an array is numeric unless it names some.
    A column of training rows without a value raises, unless it ``may_be_empty``. A table that ``grows`` takes new
    levels for further ones.
    """
    X = without_mask(X)
    by_name = categorical_features is not None and not isinstance(categorical_features, str)
    frame, dtypes, container = _as_pandas(X, by_name if table is None else any(table.n_levels))
    if frame is None:
        if getattr(getattr(X, "dtype", None), "kind", "") in ("M", "m"):  # frames refuse them, too
            raise ValueError(f"X holds values of type {X.dtype}: give the days since a date as numbers.")
        try:
            cells = validate_data(estimator, X, reset=table is None, dtype=FLOATS, ensure_all_finite=not takes_holes)
        except (ValueError, OverflowError, RuntimeError) as error:
            if hint := _hint_on_shape(X):
                raise ValueError(f"{error} {hint}") from error
            if type(error) is ValueError and "could not convert string" not in str(error):
                raise
            raise ValueError(
                f"X holds what is not a number ({error}). Encode text (OneHotEncoder) or, where the estimator takes "
                "categories, give a frame or name the columns in categorical_features."
            ) from error
        found = table or Table.of_numbers(cells.shape[1])
    else:
        validate_data(estimator, X, reset=table is None, skip_check_array=True)
        if not frame.size:
            raise ValueError(f"Found array with 0 value(s) (shape={frame.shape}): X needs a row and a column.")
        if table is None:
            known = _which_are_categories(frame, categorical_features)
        else:
            known = [column.levels is not None for column in table.columns]
        are_floats = not any(known) and set(frame.dtypes) <= {np.dtype(kind) for kind in FLOATS}
        cells, columns = frame.to_numpy() if are_floats else np.empty(frame.shape), []
        for j, (name, is_category) in enumerate(zip(frame.columns, known, strict=True)):
            levels = None if table is None else table.columns[j].levels
            if is_category:
                cells[:, j], levels = _level_numbers(frame.iloc[:, j], name, levels, grows)
            elif not are_floats:
                cells[:, j] = _numbers(frame.iloc[:, j], name)
            dtype = dtypes[j] if table is None else table.columns[j].dtype
            columns.append(Column(name, dtype, levels, limits_of(dtype)))
        found = table if table is not None and not grows else Table(tuple(columns), container)
        if {dtype for dtype, is_category in zip(frame.dtypes, known, strict=True) if not is_category} == {FLOAT32}:
            cells = cells.astype(np.float32, copy=False)
    if frame is not None and not takes_holes:
        cells = check_array(cells, dtype=FLOATS, estimator=estimator, input_name="X")
    if takes_holes:
        _check_cells(cells, [column.name for column in found.columns], may_be_empty=may_be_empty or table is not None)
    return found, cells


def _hint_on_shape(X: Any) -> str:
    """Return what to do with X of more than two dimensions, nothing about other X."""
    if isinstance(X, list | tuple) and X and len(getattr(X[0], "shape", ())) == 2:
        return (
            f"X is a {type(X).__name__} of {len(X)} arrays of two dimensions: give all their rows as one array, "
            "np.concatenate(X), or, where they do not fit in memory, an object whose __iter__ yields them."
        )
    if len(getattr(X, "shape", ())) > 2:
        return (
            f"X has shape {tuple(X.shape)}, but a row has one dimension: give X.reshape(len(X), -1). A ConvNetwork "
            "takes its image_shape, an LSTMNetwork its sequence_shape."
        )
    return ""


def _as_pandas(X: Any, has_categories: bool) -> tuple[pd.DataFrame | None, list, str]:
    """Return X as a pandas frame, None for a numeric array; its own dtypes; and what it is."""
    if isinstance(X, pd.DataFrame):
        return X, list(X.dtypes), "pandas"
    if isinstance(X, str | PathLike):
        raise ValueError(
            f"X={str(X)!r} is a path: give its rows, pandas.read_csv(path), numpy.load(path, mmap_mode='r') or "
            "pyarrow.dataset.dataset(path)."
        )
    is_polars = type(X).__module__.partition(".")[0] == "polars"
    if is_polars and hasattr(X, "collect"):
        raise TypeError("X is a Polars LazyFrame: give X.collect().")
    if is_polars and hasattr(X, "to_dict"):
        columns = X.to_dict(as_series=True).values()
        # without pyarrow; text and categories become objects
        is_plain = [(c.dtype.is_float() or c.dtype.is_integer()) and "128" not in str(c.dtype) for c in columns]
        parts = [c.to_numpy() if plain else c.to_list() for c, plain in zip(columns, is_plain, strict=True)]
        series = [pd.Series(p, dtype=object if isinstance(p, list) else p.dtype) for p in parts]
        return pd.concat(series, axis=1).set_axis(X.columns, axis=1), list(X.dtypes), "polars"
    if not has_categories:
        return None, [], "array"
    # an array of text and numbers would be one of text
    X = check_array(np.array(X, dtype=object) if isinstance(X, list) else X, dtype=None, ensure_all_finite=False)
    return pd.DataFrame(X), [X.dtype] * X.shape[1], "array"


def _which_are_categories(frame: pd.DataFrame, categorical_features: Any) -> list[bool]:
    if categorical_features is None:
        return [False] * frame.shape[1]
    if isinstance(categorical_features, str):  # "from_dtype"
        return [_is_category(frame.iloc[:, j]) for j in range(frame.shape[1])]
    is_set = isinstance(categorical_features, set | frozenset)
    chosen = np.atleast_1d(np.asarray([*categorical_features] if is_set else categorical_features))
    if chosen.dtype == bool:
        if len(chosen) != frame.shape[1]:
            raise ValueError(
                f"categorical_features has {len(chosen)} values as a mask; X has {frame.shape[1]} columns."
            )
        return chosen.tolist()
    names = list(frame.columns)
    by_name = not (chosen.dtype.kind in "iu" or chosen.size == 0)
    known = names if by_name else range(len(names))
    if missing := [value for value in chosen.tolist() if value not in known]:
        raise ValueError(
            f"categorical_features={categorical_features!r}: X has no columns {listed(missing)}. Give a mask, or names "
            f"or numbers of some of its {len(names)} columns."
        )
    return [value in chosen.tolist() for value in known]


def _is_category(column: pd.Series) -> bool:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) or types.is_bool_dtype(dtype):
        return True
    if types.is_object_dtype(dtype):
        return types.infer_dtype(column, skipna=True) not in NUMERIC_OBJECTS
    return types.is_string_dtype(dtype) or str(dtype).startswith("dictionary<")  # of pyarrow


def _numbers(column: pd.Series, name: Any) -> np.ndarray:
    """Return a column of numbers, NaN where there are holes."""
    try:
        if column.dtype.kind in "mMc" or isinstance(column.dtype, pd.PeriodDtype | pd.IntervalDtype):
            raise TypeError
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise ValueError(_neither(column, name)) from None
    except OverflowError:
        raise ValueError(f"Column {name!r} of X holds an integer beyond float64: scale it.") from None


def _neither(column: pd.Series, name: Any) -> str:
    kind = types.infer_dtype(column, skipna=True)
    said = f"Column {name!r} of X holds values of type {kind if kind != 'mixed' else 'object'!r}, "
    if kind in ("string", "categorical", "boolean"):
        return said + "not numbers: encode it (OneHotEncoder) or let an estimator for categories take it as it is."
    if kind.startswith(("date", "time", "period")):
        return said + "neither numbers nor categories: give the days since a date as a number, the month as a category."
    return said + "neither numbers nor categories: drop the column, or make numbers or text of its parts."


def _level_numbers(column: pd.Series, name: Any, levels: pd.Index | None, grows: bool) -> tuple[np.ndarray, pd.Index]:
    """Return the number of each value's level, the number of levels where it is not known, NaN where there is none.

    Without ``levels`` they are learned, in the order in which they appear: their names do not matter.
    """
    try:
        codes, found = pd.factorize(column)
    except TypeError:  # not hashable
        raise ValueError(_neither(column, name)) from None
    unique = pd.Index(np.asarray(found, dtype=object), dtype=object)
    if levels is None:
        levels, dtype = unique, column.dtype
        if not all(isinstance(level, LEVELS) for level in levels) and not isinstance(dtype, pd.CategoricalDtype):
            raise ValueError(_neither(column, name))
        declared = len(dtype.categories) if isinstance(dtype, pd.CategoricalDtype) else 0
        # more rows of a table that grows may have the same levels
        if not grows and (declared > len(column) or len(levels) == (codes >= 0).sum() > IDENTIFIER_ROWS):
            raise ValueError(too_many_levels(name, max(declared, len(levels)), len(column)))
    elif grows:
        levels = levels.append(unique.difference(levels, sort=False))
    numbers = levels.get_indexer(unique)
    numbers[numbers < 0] = len(levels)
    return np.where(codes < 0, np.nan, np.append(numbers, 0)[codes]), levels


def too_many_levels(name: Any, n_levels: int, n_rows: int) -> str:
    """Return what to say of a column that identifies rows."""
    return (
        f"Column {name!r} of X has {n_levels} levels in {n_rows} rows: nothing can be learned of such a category. Drop "
        "the column, merge its levels or, where most of them are not used, call cat.remove_unused_categories()."
    )


def without_mask(values: Any) -> Any:
    """Return values of any kind, NaN where an array masks them: NumPy would take what is behind the mask."""
    if not np.ma.isMaskedArray(values):
        return values
    return np.ma.filled(values if values.dtype.kind == "f" else values.astype(object), np.nan)


def has_holes(cells: np.ndarray | RowStream) -> bool:
    """Whether some of the cells are NaN, at the cost of a sum where none is."""
    if isinstance(cells, RowStream):
        return bool((cells.moments.n < CellStatistics.of(cells).n_rows).any())
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(cells.sum()) and np.isnan(cells).any())


def _are_empty(cells: np.ndarray | RowStream) -> np.ndarray:
    """Whether each column has no value."""
    return cells.moments.n == 0 if isinstance(cells, RowStream) else np.isnan(cells).all(0)


def _check_cells(cells: np.ndarray, names: list, may_be_empty: bool) -> None:
    """Raise where a cell is infinite or a column is empty throughout."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(cells.sum()):
            return
    if (infinite := np.isinf(cells).any(0)).any():
        raise ValueError(
            f"Columns {_some(names, infinite)} of X hold infinity: replace it, by NaN where the value is not known."
        )
    if not may_be_empty and (empty := np.isnan(cells).all(0)).any():
        raise ValueError(f"Columns {_some(names, empty)} of X are empty throughout: drop them.")


def _some(names: list, mask: np.ndarray) -> str:
    return listed([names[j] for j in np.flatnonzero(mask)])


def limits_of(dtype: Any) -> tuple[float, float] | None:
    """Return the range of an integer dtype, as far as float64 holds it; None for others."""
    name = str(dtype).lower()
    if not name.startswith(("int", "uint")) or name.startswith("interval"):
        return None
    kind, _, n_bits = name.partition("[")[0].rpartition("int")  # "int64[pyarrow]"
    low, most = (0, 2 ** int(n_bits) - 1) if kind else (-(2 ** (int(n_bits) - 1)), 2 ** (int(n_bits) - 1) - 1)
    high = float(most)
    return float(low), high if high <= most else float(np.nextafter(high, 0))
