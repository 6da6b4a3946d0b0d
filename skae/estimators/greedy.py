"""Greedy layer-wise pre-training of a dense network, for the stacked autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skae.contracts import Loss
from skae.corruptions import make_corruption
from skae.inference import apply_in_blocks
from skae.networks.dense import StackedDense, StackNetwork
from skae.objectives import LOSSES, ReconstructionObjective
from skae.random import derived_seeds
from skae.training import History, Rows, Schedule, summarize, train

PRETRAINING = 3  # purpose of the seeds, beside those of the base


def layer_view(network: StackNetwork, layer: int) -> StackNetwork:
    """Return one layer of a dense encoder and its mirror image in the decoder as an autoencoder.

    Parameters are shared with ``network``: what trains one trains the other.
    """

    def one_layer(stack: StackedDense, i: int, activation: str, **affine) -> StackedDense:
        layers: list[Any] = list(stack.layers)
        norms: list[Any] = list(stack.norms)
        return StackedDense(layers[i : i + 1], [activation], norms[i : i + 1], **affine)

    encoder, decoder = network.encoder, network.decoder
    mirror = len(decoder.layers) - 1 - layer
    output = decoder.activations[mirror]
    if output == "relu":  # a unit that is 0 for every row would never come back; without it the code is near its target
        output = "identity"
    return StackNetwork(
        one_layer(encoder, layer, encoder.activations[layer], before=encoder.before if layer == 0 else None),
        one_layer(decoder, mirror, output, after=decoder.after if layer == 0 else None),
        network.n_members,
    )


def pretrain_layers(
    network: StackNetwork,
    X: np.ndarray,
    held_out: Tensor | None,
    *,
    loss: Loss,
    corruption: str | Callable | None,
    noise_level: float,
    schedule: Schedule,
    max_iter: int,
    entropy: int,
    verbose: bool,
) -> list[list[float]]:
    """Train each layer as an autoencoder of the codes of the layers below it, which stay as they are.

    Parameters
    ----------
    network : StackNetwork
        A dense autoencoder, on the device to train on.
    X : ndarray of shape (n_samples, n_features)
        Rows.
    held_out : Tensor of shape (1, m) or None
        Rows that take no part.
    loss : Loss
        Distance between rows; between codes it is the squared error.
    corruption, noise_level
        As in `DenoisingAutoEncoder`, on the input of each layer; None for no noise. The standard deviation of
        "gaussian" keeps its proportion to the scale of what it is added to.
    schedule : Schedule
        That of the training proper, but for its length.
    max_iter : int
        Epochs a layer.
    entropy : int
        Seed of the fit.
    verbose : bool
        Print a line an epoch.

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
        objective.unit = distance.unit(scale)
        history = History()
        try:
            train(
                objective,
                Rows(codes, None, device),
                index,
                schedule,
                derived_seeds(entropy, PRETRAINING, layer),
                history=history,
                verbose=verbose,
            )
        except (KeyboardInterrupt, FloatingPointError) as error:
            error.add_note(f"This was in the pre-training of layer {layer + 1} of {n_layers}.")
            raise
        curves.append([float(value[0]) for value in history.losses])
        if layer + 1 < n_layers:
            codes = apply_in_blocks(view.eval().encode, codes, device, np.dtype(np.float32))
    return curves
