"""What fitted estimators compute, as torch modules: from cells, (n, n_features) in float64, to outputs by name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skae.estimators.fitted import loss_of
from skae.estimators.labels import PartlyLabelled
from skae.estimators.reconstruction import BaseAutoEncoder
from skae.interfaces import Network
from skae.networks import stack_networks
from skae.networks.layers import DenseAutoEncoder
from skae.outliers.bagging import BaggedAutoEncoders
from skae.outliers.errors import ResidualMeasure, WhitenedError
from skae.outliers.scaling import CLIP, ColumnScaler
from skae.tables import Table, TableLayout, TableNetwork

# what `ResidualMeasure` applies to residuals
OF_RESIDUALS: dict[Any, Callable] = {np.square: torch.square, np.abs: torch.abs}


class AutoEncoderComputation(nn.Module):
    """Code, reconstruction and score of one autoencoder, and class probabilities where it knows classes."""

    def __init__(self, estimator: Any):
        super().__init__()
        self.network = batched_network([estimator])
        self.link: nn.Module | None = None
        self.score: Callable | None = None
        self.class_logits: Callable | None = None
        if isinstance(estimator, BaseAutoEncoder):
            self.link = loss_of(self.network, estimator._fixed["loss"]).link or nn.Identity()
            self.score = estimator._score_function()
        if isinstance(estimator, PartlyLabelled):
            self.class_logits = estimator._class_logits

    def forward(self, cells: Tensor) -> dict[str, Tensor]:
        """Return what skae returns for float64 rows; ``label`` is the number of the class."""
        x = cells.float().unsqueeze(0)
        outputs = {"code": self.network.encode(x)}
        if self.link is not None and self.score is not None:
            outputs |= {"reconstruction": self.link(self.network(x)), "score": self.score(self.network, x)}
        if self.class_logits is not None:
            probabilities = self.class_logits(self.network, x).double().softmax(-1)
            outputs |= {"probabilities": probabilities, "label": probabilities.argmax(-1)}
        return {name: value[0].double() if value.is_floating_point() else value[0] for name, value in outputs.items()}


class DetectorComputation(nn.Module):
    """Reconstruction, score, decision and label of a detector at a threshold."""

    def __init__(self, detector: Any):
        super().__init__()
        measure = detector._measure
        is_bag = isinstance(measure.model, BaggedAutoEncoders)
        self.model = Bags(measure.model) if is_bag else Members([measure.model])
        self.measure = Residuals(measure) if isinstance(measure, ResidualMeasure) else None

    def forward(self, cells: Tensor, threshold: Tensor) -> dict[str, Tensor]:
        """Return what skae returns for float64 rows; the threshold has no axes."""
        reconstruction, score = self.model(cells)
        if isinstance(self.model, Members):
            reconstruction, score = reconstruction[0], score[0]
        if self.measure is not None:
            score = -self.measure(cells, reconstruction)
        score = torch.where(score.isnan(), -torch.inf, score)
        decision = score + threshold
        label = torch.where(decision < 0, -1, 1)
        return {"reconstruction": reconstruction, "score": score, "decision": decision, "label": label}


class Reconstructed(NamedTuple):
    """What a model makes of rows; of `Members` with a leading axis K."""

    reconstruction: Tensor  # (n, n_features), cells
    score: Tensor  # (n,)


class Members(nn.Module):
    """K autoencoders of one shape."""

    def __init__(self, autoencoders: Sequence[Any]):
        super().__init__()
        self.network = batched_network(autoencoders)
        self.link = loss_of(self.network, autoencoders[0]._fixed["loss"]).link or nn.Identity()
        self.score = autoencoders[0]._score_function()

    def forward(self, cells: Tensor) -> Reconstructed:
        """Return what each makes of the same rows."""
        x = cells.float().expand(self.network.n_members, -1, -1)
        return Reconstructed(self.link(self.network(x)).double(), self.score(self.network, x).double())


class Bags(nn.Module):
    """`BaggedAutoEncoders`: the mean of a bag's members or, of several bags, that of the largest error."""

    def __init__(self, bagged: BaggedAutoEncoders):
        super().__init__()
        self.scaler = None if bagged._scaler is None else Scaler(bagged._scaler)
        self.categories = [(j, bagged._given_layout.n_levels[j]) for j in bagged._categories]
        fitted = list(zip(bagged._fitted_members(), bagged._typical, strict=True))
        self.bags = nn.ModuleList()
        for k, (_, group) in enumerate(groupby(fitted, key=lambda pair: pair[0].bag)):
            members, typical = zip(*group, strict=True)
            autoencoders = [member.autoencoder for member in members]
            batches = [autoencoders] if has_members(autoencoders[0]._network) else [[a] for a in autoencoders]
            self.bags.append(nn.ModuleList([Members(batch) for batch in batches]))
            self.register_buffer(f"typical_{k}", torch.tensor(typical, dtype=torch.float64).unsqueeze(1))

    def forward(self, cells: Tensor) -> Reconstructed:
        """Return cells in the units of X, and scores."""
        z = cells if self.scaler is None else self.scaler(cells)
        reconstructions, errors = [], []
        for k, bag in enumerate(self.bags):
            parts = [batch(z) for batch in bag.children()]
            error = -torch.cat([part.score for part in parts])  # (K, n)
            error = torch.where(error.isnan(), torch.inf, error)
            errors.append((error / getattr(self, f"typical_{k}")).mean(0))
            reconstructions.append(self._vote(torch.cat([part.reconstruction for part in parts])))
        all_errors, all_means = torch.stack(errors), torch.stack(reconstructions)
        worst = all_errors.argmax(0).view(1, -1, 1).expand(1, -1, cells.shape[1])
        means = all_means.gather(0, worst).squeeze(0)
        return Reconstructed(means if self.scaler is None else self.scaler.back(means), -all_errors.amax(0))

    def _vote(self, cells: Tensor) -> Tensor:
        """Return the mean of each number and the level that most have chosen, (K, n, n_features) -> (n, n_features)."""
        columns = list(cells.mean(0).unbind(-1))
        for j, n_levels in self.categories:
            levels = torch.arange(n_levels, dtype=cells.dtype)
            columns[j] = (cells[..., j, None] == levels).sum(0).argmax(-1).to(cells.dtype)
        return torch.stack(columns, -1)


class Scaler(nn.Module):
    """`ColumnScaler`."""

    center: Tensor
    scale: Tensor

    def __init__(self, scaler: ColumnScaler):
        super().__init__()
        self.register_buffer("center", torch.from_numpy(scaler.center))
        self.register_buffer("scale", torch.from_numpy(scaler.scale))

    def forward(self, X: Tensor) -> Tensor:
        """Return scaled rows."""
        # not clamp: ONNX does not say what becomes of NaN
        z = (X - self.center) / self.scale
        z = torch.where(z > CLIP, CLIP, z)
        return torch.where(z < -CLIP, -CLIP, z).float()

    def back(self, z: Tensor) -> Tensor:
        """Return rows in the units of X."""
        return z * self.scale + self.center


class Residuals(nn.Module):
    """`ResidualMeasure`: cells and their reconstruction -> errors, (n,)."""

    typical: Tensor
    precision: Tensor

    def __init__(self, measure: ResidualMeasure):
        super().__init__()
        self.function: Callable = OF_RESIDUALS.get(measure.function, self._whiten)
        self.register_buffer("typical", torch.as_tensor(measure.typical, dtype=torch.float64))
        if isinstance(measure, WhitenedError):
            self.register_buffer("precision", torch.from_numpy(measure.precision))

    def forward(self, cells: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the mean over the cells that are no holes."""
        known = ~cells.isnan()
        parts = self.function(torch.where(known, cells - reconstruction, self.typical))
        return torch.where(known, parts, 0.0).sum(1) / known.sum(1).clamp(min=1)

    def _whiten(self, residuals: Tensor) -> Tensor:
        centered = residuals - self.typical
        return centered @ self.precision * centered


def batched_network(autoencoders: Sequence[Any]) -> Network:
    """Return a copy of the networks of fitted autoencoders as one, which takes holes where they do."""
    networks = [copy.deepcopy(autoencoder._network).cpu().eval() for autoencoder in autoencoders]
    network = networks[0] if len(networks) == 1 else stack_networks(networks)
    layouts = [autoencoder._layout for autoencoder in autoencoders]
    if layouts[0] is not None and network.layout is None:
        # trained on numbers without holes, of which each knows its own means
        means = np.stack([layout.means for layout in layouts])[:, None]
        network = TableNetwork(network, TableLayout(layouts[0].n_levels, means, layouts[0].scale)).eval()
    # outputs share what they have in common
    network.encode, network.decode = cache(network.encode), cache(network.decode)
    return network


def has_members(network: Network) -> bool:
    """Whether all tensors of a network have a member axis, and nothing else differs within a bag."""
    return isinstance(network.inner if isinstance(network, TableNetwork) else network, DenseAutoEncoder)


class Decoded(nn.Module):
    """A computation whose reconstructions are as `Table.decode` returns them, but for levels, which are numbers.

    With categories each column is an output of its own.
    """

    def __init__(self, computation: nn.Module, table: Table):
        super().__init__()
        self.computation, self.table = computation, table

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return the outputs by name."""
        outputs = self.computation(*inputs)
        if self.table.is_plain or "reconstruction" not in outputs:
            return outputs
        columns = {}
        values = outputs.pop("reconstruction").unbind(1)
        for name, column, part in zip(column_names(self.table), self.table.columns, values, strict=True):
            if column.levels is None:
                part = part if column.limits is None else part.round().clamp(*column.limits)
            columns[f"reconstruction_{name}"] = part if column.levels is None else part.long()
        if not any(self.table.n_levels):
            columns = {"reconstruction": torch.stack(list(columns.values()), 1)}
        return outputs | columns


def column_names(table: Table) -> list[str]:
    """Return the names of the columns, x0, x1... of those that have none."""
    return [column.name if isinstance(column.name, str) else f"x{j}" for j, column in enumerate(table.columns)]
