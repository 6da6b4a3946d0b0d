"""The output of a dense network in buffers: weights and biases of a layer in one product, as in `fused_gradients`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from skae.networks.fused_gradients import writing_to_out

if TYPE_CHECKING:
    from skae.networks.layers import DenseAutoEncoder

_kept = threading.local()


class OfLayer(NamedTuple):
    """Where batches of one shape are computed."""

    inputs: Tensor  # (K, B, fan_in + 1), the last column 1
    block: Tensor  # (K, fan_in + 1, fan_out)
    pre: Tensor  # (K, B, fan_out), before the activation
    post: Tensor  # the same after it, within the next layer's input


class FusedOutput:
    """Output of a plain dense network for inference, valid until the next call; for one thread."""

    def __init__(self, network: DenseAutoEncoder):
        self._layers = network.layers
        self._own = [layer.block for layer in self._layers]
        self._before, self._after = network.encoder.before, network.decoder.after
        activations = network.encoder.activations + network.decoder.activations
        self._activate: list[Callable[..., Tensor] | None] = [writing_to_out(name) for name in activations]
        if activations[-1] == "identity":
            self._activate[-1] = None  # the output needs no copy
        self._buffers: dict[torch.Size, list[OfLayer]] = {}

    @property
    def is_current(self) -> bool:
        """Whether the layers still have the parameters, whatever their values."""
        return all(layer.block is own for layer, own in zip(self._layers, self._own, strict=True))

    def __call__(self, x: Tensor) -> Tensor:
        """(K, B, n_in) -> (K, B, n_out); for a single member K may be any number of batches."""
        layers = self._buffers.get(x.shape) or self._make_buffers(x)
        first = layers[0].inputs[..., :-1]
        if self._before is None:
            first.copy_(x)
        else:
            torch.addcmul(self._before.shift, x, self._before.scale, out=first)
        for (inputs, block, pre, post), activate in zip(layers, self._activate, strict=True):
            torch.bmm(inputs, block, out=pre)
            if activate is not None:
                activate(pre, out=post)
        output = layers[-1].post
        if self._after is not None:
            torch.addcmul(self._after.shift, output, self._after.scale, out=output)
        return output

    def _make_buffers(self, x: Tensor) -> list[OfLayer]:
        k, b, _ = x.shape
        blocks = [block.detach().expand(k, -1, -1) for block in self._own]
        inputs = [x.new_ones(k, b, block.shape[1]) for block in blocks]
        pre = [x.new_empty(k, b, block.shape[2]) for block in blocks]
        post = [*(t[..., :-1] for t in inputs[1:]), pre[-1]]
        self._buffers[x.shape] = [OfLayer(*of_layer) for of_layer in zip(inputs, blocks, pre, post, strict=True)]
        return self._buffers[x.shape]


class FusedInference:
    """A dense network whose output is computed by `FusedOutput`; all else it does itself."""

    def __init__(self, network: DenseAutoEncoder, output: FusedOutput):
        self._network, self._output = network, output

    def __call__(self, x: Tensor) -> Tensor:
        """Return the output, valid until the next call."""
        return self._output(x)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def kept_output(network: DenseAutoEncoder) -> FusedOutput | None:
    """Return the `FusedOutput` that this thread has kept for a network, if it is current."""
    output = _outputs().get(network)
    return output if output is not None and output.is_current else None


def keep_output(network: DenseAutoEncoder, output: FusedOutput) -> None:
    """Keep it for the next call of this thread, as long as the network is."""
    _outputs()[network] = output


def _outputs() -> WeakKeyDictionary[DenseAutoEncoder, FusedOutput]:
    if not hasattr(_kept, "outputs"):
        _kept.outputs = WeakKeyDictionary()
    return _kept.outputs
