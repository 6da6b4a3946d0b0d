"""Greedy layer-wise pre-training of a dense network, for the stacked autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from skae._compat import Interval, StrOptions
from skae.corruptions import NAMES, make_corruption
from skae.inference import apply_in_blocks
from skae.interfaces import Loss, Network
from skae.networks import DenseNetwork
from skae.networks.layers import BatchedPerceptron, DenseAutoEncoder
from skae.objectives import LOSSES, ReconstructionObjective
from skae.random import derived_seeds
from skae.training import History, Rows, Schedule, summarize, train

PRETRAINING = 3  # purpose of the seeds, in addition to those of the base


class GreedyPretraining:
    """Parameters of the pre-training of two estimators, and what they do with them."""

    corruption: str | Callable | None
    noise_level: float
    pretrain_max_iter: int
    pretraining_loss_curves_: list[list[float]]
    _pretraining_constraints: ClassVar[dict] = {
        "network": [DenseNetwork, None],
        "tied_weights": ["boolean"],
        "corruption": [StrOptions(NAMES), callable, None],
        "noise_level": [Interval(Real, 0, None, closed="left")],
        "pretrain_max_iter": [Interval(Integral, 0, None, closed="left")],
    }

    def _pretrain_layers(self: Any, network: Network, X: np.ndarray, held_out: Tensor | None, seed: int) -> None:
        """Pre-train a dense autoencoder, on the device."""
        assert isinstance(network, DenseAutoEncoder)
        self.pretraining_loss_curves_ = pretrain_layers(
            network,
            X,
            held_out,
            loss=LOSSES[self.loss],
            corruption=self.corruption,
            noise_level=self.noise_level,
            schedule=self._schedule(len(X), one_pass=False),
            max_iter=self.pretrain_max_iter,
            seed=seed,
            verbose=bool(self.verbose),
        )


def layer_view(network: DenseAutoEncoder, layer: int) -> DenseAutoEncoder:
    """Return one layer of a dense encoder and its mirror image in the decoder as an autoencoder.

    Parameters are shared with ``network``: what trains one trains the other.
    """

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


def pretrain_layers(
    network: DenseAutoEncoder,
    X: np.ndarray,
    held_out: Tensor | None,
    *,
    loss: Loss,
    corruption: str | Callable | None,
    noise_level: float,
    schedule: Schedule,
    max_iter: int,
    seed: int,
    verbose: bool,
) -> list[list[float]]:
    """Train each layer as an autoencoder of the codes of the layers below it, which are frozen.

    Parameters
    ----------
    network : DenseAutoEncoder
        A dense autoencoder, on the device to train on.
    X : ndarray of shape (n_samples, n_features)
        Rows.
    held_out : Tensor of shape (1, m) or None
        Rows to leave out, or None.
    loss : Loss
        Distance between rows; between codes it is the squared error.
    corruption, noise_level
        As in `DenoisingAutoEncoder`, on the input of each layer; None for no noise. The standard deviation of
        "gaussian" keeps its proportion to the scale of what it is added to.
    schedule : Schedule
        Schedule of the training that follows; ``max_iter`` replaces its length.
    max_iter : int
        Epochs of each layer.
    seed : int
        Seed of the fit.
    verbose : bool
        Whether to print a line for each epoch.

    Returns
    -------
    loss_curves : list of list of float
        Training loss of each epoch, for each layer; empty where ``max_iter`` is 0.
    """
    if max_iter == 0:
        return []
    device = next(network.parameters()).device
    keep = torch.ones(len(X), dtype=torch.bool, device=device)
    if held_out is not None:
        keep[held_out[0]] = False
    index = keep.nonzero().T  # (1, n)
    schedule = replace(schedule, max_iter=max_iter)
    n_layers, codes, curves = len(network.encoder.layers), X, []
    scale_of_X = summarize(X).scale
    for layer in range(n_layers):
        if verbose:
            print(f"Pre-training of layer {layer + 1} of {n_layers}")
        view, scale = layer_view(network, layer), summarize(codes).scale
        noise = None
        if corruption is not None:
            level = noise_level * scale / scale_of_X if corruption == "gaussian" else noise_level
            noise = make_corruption(corruption, level, codes, device)
        distance = loss if layer == 0 else LOSSES["squared_error"]
        objective = ReconstructionObjective(view, distance, noise)
        objective.loss_scale = distance.scale(scale)
        history = History()
        try:
            train(
                objective,
                Rows(codes, None, device),
                index,
                schedule,
                derived_seeds(seed, PRETRAINING, layer),
                history=history,
                verbose=verbose,
            )
        except (KeyboardInterrupt, FloatingPointError) as error:
            error.add_note(f"This was in the pre-training of layer {layer + 1} of {n_layers}.")
            raise
        curves.append([float(value[0]) for value in history.losses])
        if layer + 1 < n_layers:
            codes = apply_in_blocks(view.eval().encode, codes, device, np.dtype(np.float32), view.broadcasts)
    return curves
