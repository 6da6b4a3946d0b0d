"""What `fit` is given: checked, and as rows to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from skae._compat import warn_user
from skae.distributed import current_processes
from skae.estimators.fitted import FittedNetwork
from skae.estimators.parameters import SharedParameters
from skae.inference import too_large_message
from skae.interfaces import RowSummary
from skae.random import derived_seeds, random_mask
from skae.tables import TableLayout, read_training_rows
from skae.training import HELD_OUT, Rows, RowStream, StreamedRows, bounds, in_memory, summarize

SPLIT = 1  # purpose of the seeds, in addition to those of the base
FLOAT32_MAX = np.finfo(np.float32).max
SCALES = (1e-16, 1e16)  # of rows, in which float32 holds squared residuals


class TrainingData(NamedTuple):
    """What `fit` was given, valid."""

    X: np.ndarray | RowStream  # (n_samples, n_features), as are the targets
    target: np.ndarray | None  # None: the rows themselves
    labels: np.ndarray | None  # (n_samples,), class numbers, -1 where unknown
    layout: TableLayout | None  # of X, where it has categories or holes


@dataclass(repr=False, eq=False)
class ReadsTrainingRows(SharedParameters, FittedNetwork):
    """Base that checks training rows, and holds some of them out."""

    # ---- hooks ---------------------------------------------------------------------------------------------

    def _training_target(self, X: np.ndarray, y) -> np.ndarray | None:
        """Return the rows to reconstruct, of X's shape, or None for X itself."""
        return None

    def _training_labels(self, X: np.ndarray, y) -> np.ndarray | None:
        """Return each row's class number, -1 where unknown, or None where labels are not used."""
        return None

    def _can_learn_from(self, data: TrainingData) -> np.ndarray | None:
        """Return whether the objective can learn from each row, (n_samples,), or None where it can from all."""
        return None

    # ---- checks --------------------------------------------------------------------------------------------

    def _check_training_data(self, X, y, reset: bool) -> TrainingData:
        """Return the rows, their targets and their labels, all valid."""
        X, layout = self._read_rows(X, reset)
        target = self._training_target(X, y)
        labels = self._training_labels(X, y)
        if isinstance(X, RowStream) and not (target is labels is None) and X.is_shared_out:
            raise ValueError("rows='same' of data_parallel cannot share out a stream with a y: give shards of both.")
        for name, rows in (("X", X), ("y", target)):
            if rows is not None:
                low, high = bounds(rows)
                if (largest := np.fmax(-np.fmin.reduce(low), np.fmax.reduce(high))) > FLOAT32_MAX:
                    raise ValueError(too_large_message(name, largest))
                self._check_range(name, rows, self.loss)
        return TrainingData(X, target, labels, layout)

    def _read_rows(self, X, reset: bool) -> tuple[np.ndarray | RowStream, TableLayout | None]:
        """Return the cells of X and their layout, None for numbers without holes; set the table."""
        given = self._given_layout
        features = getattr(self, "categorical_features", None) if given is None else None
        takes_tables = self._takes_tables() if reset else self._takes_holes
        table, cells = read_training_rows(
            self, X, None if reset else self._table, features, takes_tables, may_be_empty=given is not None
        )
        if not reset:
            return cells, self._layout
        if any(table.n_levels) and not takes_tables:
            self._refuse(table)
        self._table = table
        return cells, given or table.layout(cells, self._needs_all_flags)

    def _check_range(self, name: str, rows: np.ndarray | RowStream, loss: str) -> None:
        if loss != "binary_cross_entropy":
            return
        lows, highs = bounds(rows)
        low, high = lows.min(), highs.max()
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"loss='binary_cross_entropy' needs values in [0, 1]; {name} has values in [{low:.3g}, {high:.3g}]. "
                "Scale them (MinMaxScaler(clip=True)) or choose another loss."
            )

    def _summarize(self, X: np.ndarray | RowStream, layout: TableLayout | None = None) -> RowSummary:
        """Return the mean and scale of X; raise or warn where float32 cannot hold them."""
        rows = summarize(X) if layout is None else layout.summary(in_memory(X))
        if layout is None and self._takes_tables():
            rows = rows._replace(layout=TableLayout.of_numbers(rows))
        if not SCALES[0] <= rows.scale <= SCALES[1]:
            raise ValueError(
                f"The columns of X vary by {rows.scale:.3g} (root of their mean variance): their squares are beyond "
                "float32, in which networks compute. Scale the columns (StandardScaler)."
            )
        if rows.unresolved_columns:
            warn_user(
                f"Columns {list(rows.unresolved_columns)} of X vary too little for their distance from 0: float32, in "
                "which networks compute, rounds their values. Centre them first (StandardScaler)."
            )
        return rows

    # ---- rows ----------------------------------------------------------------------------------------------

    def _hold_out(self, X: np.ndarray | RowStream, can_learn: np.ndarray | None, seed: int) -> np.ndarray | None:
        """Return whether each row is held out of training, (n_samples,); None without early stopping."""
        if not self.early_stopping:
            return None
        n = len(X) if can_learn is None else int(can_learn.sum())
        share = self.validation_fraction * n
        if share < 1 or n - share < 1:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {n} rows leaves no row to "
                f"{'validate' if share < 1 else 'train'} on: change it or set early_stopping=False."
            )
        if isinstance(X, RowStream):  # they stay in memory
            share = min(share, X.most_rows(HELD_OUT))
        chosen = random_mask(n, int(share), derived_seeds(seed, SPLIT)[0])
        if can_learn is None:
            return chosen
        held_out = np.zeros(len(X), dtype=bool)
        held_out[np.flatnonzero(can_learn)[chosen]] = True
        return held_out

    def _rows(self, data: TrainingData, held_out: np.ndarray | None, device: torch.device) -> Rows | StreamedRows:
        can_learn = self._can_learn_from(data)
        if isinstance(data.X, RowStream):
            stream = data.X if can_learn is None else data.X.only(can_learn)
            return StreamedRows(stream, data.target, device, data.labels, held_out=held_out)
        chosen = np.ones(len(data.X), dtype=bool) if can_learn is None else can_learn
        index, held_out_index = chosen, None
        if held_out is not None:
            index, held_out_index = chosen & ~held_out, torch.from_numpy(np.flatnonzero(held_out)).to(device)[None]
        return Rows(
            data.X,
            data.target,
            device,
            data.labels,
            index=torch.from_numpy(np.flatnonzero(index)).to(device)[None],
            held_out=held_out_index,
            processes=current_processes(),
        )
