"""Scores of dask's arrays and frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd


def map_rows(method: Callable[[Any], Any], X: Any) -> Any:
    """Call a method of a fitted estimator on each block of a dask array or frame, lazily.

    Each row gets what the method gives for it in memory, up to rounding: `dask.array.map_blocks` and
    `dask.dataframe.DataFrame.map_partitions` do the work. The estimator is one task of the graph, so that it reaches
    each worker once.

    Parameters
    ----------
    method : callable
        Method that returns one value or one line for each row, as ``detector.score_samples``,
        ``pipeline.predict`` or ``autoencoder.transform``.
    X : dask.array.Array or dask.dataframe.DataFrame
        Rows. Columns in several blocks are joined. Blocks may be empty, and their numbers of rows unknown.

    Returns
    -------
    result : dask.array.Array, dask.dataframe.Series or dask.dataframe.DataFrame
        Of an array an array, (n_samples,) or (n_samples, n_outputs), in the same blocks of rows. Of a frame a series
        or a frame with its index and divisions; columns have names where the method gives a frame.

    Raises
    ------
    TypeError
        If X is not of dask, or the method not a function.
    ValueError
        If X is not two-dimensional, or the method does not give one line for each row.

    Notes
    -----
    To know the shape and dtype of the result, the method is called on a made-up row. If it refuses that, as an encoder
    does where categories are unknown, it is called on the first row of X, for which blocks are computed until one has
    a row. The estimator is taken as it is when the result is computed: fit it again only after that.

    Examples
    --------
    >>> import dask
    >>> import dask.array as da
    >>> import numpy as np
    >>> from skae import AutoEncoderOutlierDetector
    >>> from skae.dask import map_rows
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = AutoEncoderOutlierDetector(random_state=0).fit(X)
    >>> labels = map_rows(detector.predict, da.from_array(X, chunks=(50, 3)))
    >>> labels.chunks
    ((50, 50, 50, 50),)
    >>> with dask.config.set(scheduler="synchronous"):
    ...     bool((labels.compute() == detector.predict(X)).all())
    True
    """
    try:
        import dask
        import dask.array
        import dask.dataframe
    except ImportError as error:
        raise ImportError('skae.dask needs dask: python -m pip install "skae[dask]".') from error
    if not callable(method):
        raise TypeError(f"method={method!r} must be a method of a fitted estimator, as detector.score_samples.")
    # in the graph once; tasks hold its key
    shared = dask.delayed(method, traverse=False)
    if isinstance(X, dask.dataframe.DataFrame):
        like = _result_of_a_row(method, X._meta_nonempty[:1], X.partitions)
        return X.map_partitions(_call, method=shared, empty=like[:0], meta=like[:0])
    if not isinstance(X, dask.array.Array):
        raise TypeError(f"X is a {type(X).__name__}: map_rows takes a dask array or DataFrame. Call the method itself.")
    if X.ndim != 2 or np.isnan(X.shape[1]):
        raise ValueError(f"X has shape {X.shape}: it must have two dimensions, and a known number of columns.")
    X = X.rechunk({1: -1})
    like = _result_of_a_row(method, np.ones((1, X.shape[1]), dtype=X.dtype), X.blocks)
    shape = {"drop_axis": 1} if like.ndim == 1 else {"chunks": (X.chunks[0], like.shape[1:])}
    return X.map_blocks(_call, method=shared, empty=like[:0], meta=like[:0], **shape)


def _call(rows: Any, method: Callable[[Any], Any], empty: Any) -> Any:
    """Return what a method gives for rows in memory, ``empty`` where there are none: estimators refuse that."""
    return _as_kept(method(rows), rows) if rows.shape[0] else empty


def _as_kept(result: Any, rows: Any) -> Any:
    """Return a result for rows as dask keeps it: a series or frame where the rows are a frame, else an array."""
    if not isinstance(rows, pd.DataFrame):
        return np.asarray(result)
    if isinstance(result, pd.DataFrame | pd.Series):
        return result
    kind = pd.Series if np.ndim(result) == 1 else pd.DataFrame
    return kind(np.asarray(result), index=rows.index)


def _result_of_a_row(method: Callable[[Any], Any], made_up: Any, blocks: Any) -> Any:
    """Return what a method gives for a made-up row or, where it refuses that, for the first row of the blocks."""
    row = made_up
    try:
        result = method(row)
    except Exception:  # whatever the steps of a pipeline raise
        row = next((rows[:1] for block in blocks if (rows := block.compute()).shape[0]), None)
        if row is None:
            raise
        result = method(row)
    if np.shape(result)[:1] != (1,) or np.ndim(result) > 2:
        raise ValueError(f"method={method!r} gives shape {np.shape(result)} for one row: it must give one line for it.")
    return _as_kept(result, row)
