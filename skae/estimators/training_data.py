"""What `fit` is given, valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skae.estimators.fitted import FittedNetwork
from skae.estimators.parameters import SharedParameters
from skae.inference import too_large_message
from skae.networks import DenseNetwork, MemoryNetwork
from skae.tables import Table, TableLayout, has_holes, read_rows

FLOAT32_MAX = np.finfo(np.float32).max


class TrainingData(NamedTuple):
    """What `fit` was given, valid."""

    X: np.ndarray  # (n_samples, n_features), as are the targets
    target: np.ndarray | None  # None: the rows themselves
    labels: np.ndarray | None  # (n_samples,), class numbers, -1 where unknown
    layout: TableLayout | None  # of X, where it has categories or holes


@dataclass(repr=False, eq=False)
class ReadsTrainingData(SharedParameters, FittedNetwork):
    """Reads rows, targets and labels; subclasses override what of y they use."""

    _makes_holes = False  # whether training puts holes into tables

    @property
    def _needs_all_flags(self) -> bool:
        """Whether columns without holes have flags too: a hole may come in training, or the flags need none."""
        return self._makes_holes or type(self.network) is MemoryNetwork

    def _training_target(self, X: np.ndarray, y) -> np.ndarray | None:
        """Return the rows to reconstruct, of X's shape, or None for X itself."""
        return None

    def _training_labels(self, X: np.ndarray, y) -> np.ndarray | None:
        """Return each row's class number, -1 where unknown, or None where labels are not used."""
        return None

    def _check_training_data(self, X, y, reset: bool) -> TrainingData:
        """Return the rows, their targets and their labels, all valid."""
        X, layout = self._read_rows(X, reset)
        target = self._training_target(X, y)
        for name, rows in (("X", X), ("y", target)):
            if rows is not None:
                if (largest := np.fmax(-np.fmin.reduce(rows, None), np.fmax.reduce(rows, None))) > FLOAT32_MAX:
                    raise ValueError(too_large_message(name, largest))
                self._check_range(name, rows, self.loss)
        return TrainingData(X, target, self._training_labels(X, y), layout)

    def _read_rows(self, X, reset: bool) -> tuple[np.ndarray, TableLayout | None]:
        """Return the cells of X and their layout, None for numbers without holes; set the table."""
        features = getattr(self, "categorical_features", None)
        takes_tables = self._takes_tables() if reset else self._takes_holes
        table, cells = read_rows(self, X, None if reset else self._table, features, takes_tables)
        if not reset:
            return cells, self._layout
        if any(table.n_levels) and not takes_tables:
            self._refuse(table)
        self._table = table
        if (given := vars(self).get("_given_layout")) is not None:
            return cells, given
        if any(table.n_levels) or (takes_tables and has_holes(cells)):
            return cells, TableLayout(cells, table.n_levels, self._needs_all_flags)
        return cells, None

    def _takes_tables(self) -> bool:
        """Whether `fit` takes categories and holes, as the parameters are."""
        network = self.network
        return (
            hasattr(self, "categorical_features")
            and (network is None or type(network) is MemoryNetwork or type(network) is DenseNetwork)
            and getattr(network, "output_activation", "identity") == "identity"
            and self.loss != "binary_cross_entropy"
        )

    def _refuse(self, table: Table) -> None:
        names = [column.name for column in table.columns if column.n_levels]
        raise ValueError(
            f"Columns {names[:5]} of X are categories, for which {type(self).__name__} needs a dense network "
            "(network=None, DenseNetwork() without output_activation, or MemoryNetwork()) and another loss than "
            "'binary_cross_entropy'. Change them, encode the columns (OneHotEncoder), or, where they are numbers, "
            "set categorical_features=None."
        )

    def _check_range(self, name: str, rows: np.ndarray, loss: str) -> None:
        if loss == "binary_cross_entropy" and not 0 <= rows.min() <= rows.max() <= 1:
            raise ValueError(
                f"loss='binary_cross_entropy' needs values in [0, 1]; {name} has values in [{rows.min():.3g}, "
                f"{rows.max():.3g}]. Scale them (MinMaxScaler(clip=True)) or choose another loss."
            )
