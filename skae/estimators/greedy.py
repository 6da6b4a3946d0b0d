"""Greedy layer-wise pre-training of a dense network, for the stacked autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch

from skae._compat import Interval, StrOptions
from skae.corruptions import NAMES, make_corruption
from skae.distributed import current_processes
from skae.estimators.base import NetworkEstimator
from skae.estimators.parameters import parameter
from skae.inference import apply_in_blocks
from skae.interfaces import Network
from skae.networks import DenseNetwork
from skae.networks.layers import BatchedPerceptron, DenseAutoEncoder
from skae.objectives import LOSSES, ReconstructionObjective
from skae.random import derived_seeds
from skae.training import History, Rows, RowStream, StreamedRows, bounds, summarize, train

PRETRAINING = 3  # purpose of the seeds, in addition to those of the base


@dataclass(repr=False, eq=False)
class GreedyPretraining(NetworkEstimator):
    """Base of the stacked autoencoders: the parameters of pre-training, and what they do."""

    _: KW_ONLY
    network: Any = parameter(None, DenseNetwork, None)
    tied_weights: bool = parameter(True, "boolean")
    corruption: str | Callable | None = parameter(None, StrOptions(NAMES), callable, None)
    noise_level: float = parameter(0.2, Interval(Real, 0, None, closed="left"))
    pretrain_max_iter: int = parameter(10, Interval(Integral, 0, None, closed="left"))

    _fixed_by_fit: ClassVar[tuple[str, ...]] = (*NetworkEstimator._fixed_by_fit, "tied_weights")
    _set_by_pretraining: ClassVar[tuple[str, ...]] = ("pretraining_loss_curves_",)

    def _pretrain(self, network: Network, X: np.ndarray | RowStream, held_out: np.ndarray | None, seed: int) -> None:
        """Train each layer as an autoencoder of the codes of the layers below it, which are frozen."""
        self.pretraining_loss_curves_: list[list[float]] = []
        if self.pretrain_max_iter == 0:
            return
        assert isinstance(network, DenseAutoEncoder)
        device = next(network.parameters()).device
        codes = X if held_out is None else X.only(~held_out) if isinstance(X, RowStream) else X[~held_out]
        n_layers, scale_of_X = len(network.encoder.layers), summarize(codes).scale
        for layer in range(n_layers):
            if self.verbose:
                print(f"Pre-training of layer {layer + 1} of {n_layers}")
            view, scale = layer_view(network, layer), summarize(codes).scale
            noise = None
            if self.corruption is not None:
                # "gaussian" keeps its proportion to the scale of what it is added to
                level = self.noise_level * scale / scale_of_X if self.corruption == "gaussian" else self.noise_level
                noise = make_corruption(self.corruption, level, partial(bounds, codes), device)
            loss = LOSSES[self.loss if layer == 0 else "squared_error"]
            objective = ReconstructionObjective(view, loss, noise)
            objective.loss_scale = loss.scale(scale)
            history = History()
            rows: Rows | StreamedRows
            if isinstance(codes, RowStream):
                rows = StreamedRows(codes, None, device)
            else:
                rows = Rows(codes, None, device, processes=current_processes())
            schedule = replace(self._schedule(rows.n_rows, one_pass=False), max_iter=self.pretrain_max_iter)
            try:
                train(
                    objective,
                    rows,
                    schedule,
                    derived_seeds(seed, PRETRAINING, layer),
                    history=history,
                    shuffle=self.shuffle,
                    verbose=bool(self.verbose),
                )
            except (KeyboardInterrupt, FloatingPointError) as error:
                error.add_note(f"This was in the pre-training of layer {layer + 1} of {n_layers}.")
                raise
            self.pretraining_loss_curves_.append([float(value[0]) for value in history.losses])
            if layer + 1 < n_layers:
                encode = partial(_encode, view.eval(), device)
                codes = codes.mapped(encode) if isinstance(codes, RowStream) else encode(codes)


def _encode(view: DenseAutoEncoder, device: torch.device, rows: np.ndarray) -> np.ndarray:
    return apply_in_blocks(view.encode, rows, device, np.dtype(np.float32), view.broadcasts)


def layer_view(network: DenseAutoEncoder, layer: int) -> DenseAutoEncoder:
    """Return a layer of the encoder and its mirror image in the decoder as an autoencoder that shares their weights."""

    def one_layer(half: BatchedPerceptron, i: int, activation: str, **affine) -> BatchedPerceptron:
        layers: list[Any] = list(half.layers)
        norms: list[Any] = list(half.norms)
        return BatchedPerceptron(layers[i : i + 1], [activation], norms[i : i + 1], **affine)

    encoder, decoder = network.encoder, network.decoder
    mirror = len(decoder.layers) - 1 - layer
    output = decoder.activations[mirror]
    if output == "relu":  # with it, a unit that is 0 for every row would have no gradient any more
        output = "identity"
    return DenseAutoEncoder(
        one_layer(encoder, layer, encoder.activations[layer], before=encoder.before if layer == 0 else None),
        one_layer(decoder, mirror, output, after=decoder.after if layer == 0 else None),
        network.n_members,
    )
