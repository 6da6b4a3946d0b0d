"""What comes before training: checks, statistics, rows held out, a new network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skae._compat import warn_user
from skae.device import on_cpu
from skae.estimators.fitted import FittedNetwork
from skae.estimators.parameters import SharedParameters
from skae.inference import too_large_message
from skae.interfaces import Network, RowSummary
from skae.messages import listed
from skae.networks import DenseNetwork, build_from_callable
from skae.random import RandomStreams, derived_seeds, random_mask
from skae.tables import TableLayout, TableNetwork
from skae.training import HELD_OUT, RowStream, bounds, in_memory, summarize

INITIAL_WEIGHTS, SPLIT = 0, 1  # purposes of the seeds
FLOAT32_MAX = np.finfo(np.float32).max
SCALES = (1e-16, 1e16)  # of rows, in which float32 holds squared residuals


class TrainingData(NamedTuple):
    """What `fit` was given, valid."""

    X: np.ndarray | RowStream  # (n_samples, n_features), as are the targets
    target: np.ndarray | None  # None: the rows themselves
    labels: np.ndarray | None  # (n_samples,), class numbers, -1 where unknown
    layout: TableLayout | None  # of X, where it has categories or holes


@dataclass(repr=False, eq=False)
class PreparesTraining(SharedParameters, FittedNetwork):
    """Base that prepares the training of a network."""

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

    def _check_values(self, X: np.ndarray | RowStream, target: np.ndarray | None) -> None:
        """Raise where rows or targets hold values that the network or the loss does not take."""
        for name, rows in (("X", X), ("y", target)):
            if rows is not None:
                low, high = bounds(rows)
                if (largest := np.fmax(-np.fmin.reduce(low), np.fmax.reduce(high))) > FLOAT32_MAX:
                    raise ValueError(too_large_message(name, largest))
                self._check_range(name, rows, self.loss)

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
                f"Columns {listed(rows.unresolved_columns)} of X vary too little for their distance from 0: float32, "
                "in which networks compute, rounds their values. Centre them first (StandardScaler)."
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

    # ---- networks ------------------------------------------------------------------------------------------

    def _default_network(self) -> DenseNetwork:
        """Return the specification to use where ``network`` is None."""
        return DenseNetwork(self.hidden_layer_sizes, self.activation)

    def _build_network(self, rows: RowSummary, seed: int) -> Network:
        """Return the network to train, initialised, on the CPU."""
        network = self._build_from_specification(rows, self.n_components, seed)
        if rows.layout is None or rows.layout.is_plain:
            return network
        return TableNetwork(network, rows.layout, fills_holes=not self._makes_holes)

    def _build_from_specification(self, rows: RowSummary, n_components: int, seed: int) -> Network:
        """Build the network that ``network`` specifies, on the CPU whatever torch's default device."""
        seeds = derived_seeds(seed, INITIAL_WEIGHTS)
        logits = self.loss == "binary_cross_entropy"
        with on_cpu():
            if self._network_is_callable():
                return build_from_callable(self.network, rows.n_features, n_components, seeds[0], logits)
            if isinstance(self.network, type):
                name = self.network.__name__
                raise ValueError(f"network={name} is a class: give one of its instances, {name}(...).")
            specification = self._default_network() if self.network is None else self.network
            return specification.build(rows, n_components, RandomStreams(seeds), logits)
