"""Convolutional networks, for rows that are images."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import nn

from skae._compat import Interval, StrOptions
from skae.documented import Documented
from skae.interfaces import RowSummary
from skae.networks.activations import ACTIVATIONS, OF_EACH_UNIT
from skae.networks.initialisation import check_shape, check_sizes, initialised, require_single
from skae.networks.layers import Affine
from skae.networks.modules import ModuleNetwork
from skae.random import RandomStreams


@dataclass(repr=False, eq=False)
class ConvNetwork(Documented):
    """Specification of a convolutional encoder and its mirrored decoder [1]_.

    Each level of the encoder halves the height and width of the image, rounded up, and the decoder undoes that: any
    size is supported. A linear layer lies between the last feature map and the code.

    Parameters
    ----------
    image_shape : tuple (n_channels, height, width), default=(1, 28, 28)
        Shape of the image that a row stands for, channels first.
    channels : sequence of int, default=(16, 32)
        Number of channels of the feature maps, from the input inwards, one for each level.
    kernel_size : int, default=3
        Height and width of the kernels, odd and at least 3.
    activation : {"relu", "gelu", "silu", "tanh", "sigmoid", "identity"}, default="relu"
        Activation of the feature maps.
    down : {"stride", "pool"}, default="stride"
        How a level halves: a convolution of stride 2 or, slower, one of stride 1 and a maximum over 2 x 2.
    up : {"transpose", "upsample"}, default="transpose"
        How a level doubles: a transposed convolution of stride 2 or, slower, repeated pixels and a convolution.

    References
    ----------
    .. [1] Masci, J., Meier, U., Ciresan, D. and Schmidhuber, J., "Stacked convolutional auto-encoders for hierarchical
       feature extraction", ICANN 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoEncoderTransformer
    >>> from skae.networks import ConvNetwork
    >>> X, _ = load_digits(return_X_y=True)
    >>> network = ConvNetwork((1, 8, 8), channels=(8,))
    >>> AutoEncoderTransformer(8, network=network, max_iter=2, random_state=0).fit_transform(X).shape
    (1797, 8)
    """

    image_shape: Any = (1, 28, 28)
    channels: Any = (16, 32)
    kernel_size: int = 3
    activation: str = "relu"
    _: KW_ONLY
    down: str = "stride"
    up: str = "transpose"

    _parameter_constraints: ClassVar[dict] = {
        "image_shape": ["array-like"],
        "channels": ["array-like"],
        "kernel_size": [Interval(Integral, 3, None, closed="left")],
        "activation": [StrOptions(set(OF_EACH_UNIT))],
        "down": [StrOptions({"stride", "pool"})],
        "up": [StrOptions({"transpose", "upsample"})],
    }

    def build(self, rows: RowSummary, n_components: int, random: RandomStreams, logits: bool) -> ModuleNetwork:
        """Return the initialised network, on the CPU; parameters as for `DenseNetwork.build`.

        Raises
        ------
        ValueError
            If a parameter is outside its range, ``image_shape`` does not multiply to the number of features, the
            image is too small for so many levels, or several members are asked for.
        """
        self._validate_params()
        require_single("ConvNetwork", random)
        n_channels, height, width = check_shape(
            "image_shape", self.image_shape, "(n_channels, height, width)", "(1, 28, 28)", rows.n_features
        )
        channels = check_sizes("channels", self.channels, "(16, 32)")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={self.kernel_size} must be odd, so that a kernel has a centre: 3, 5, 7...")
        n_halvings = (max(height, width) - 1).bit_length()
        if len(channels) > n_halvings:
            raise ValueError(
                f"channels={self.channels} makes {len(channels)} levels, but an image of {height} x {width} can be "
                f"halved {n_halvings} times only: give fewer channels, or a DenseNetwork."
            )
        sizes = [(-(-height // 2**level), -(-width // 2**level)) for level in range(len(channels) + 1)]
        maps = [n_channels, *channels]
        activation = ACTIVATIONS[self.activation].layer

        def make() -> nn.ModuleDict:
            encoder = nn.Sequential(nn.Unflatten(1, (n_channels, *sizes[0])))
            for n_in, n_out in pairwise(maps):
                encoder.extend(self._down(n_in, n_out))
            n_flat = maps[-1] * math.prod(sizes[-1])
            encoder.extend([nn.Flatten(), nn.Linear(n_flat, n_components)])
            decoder = nn.Sequential(
                nn.Linear(n_components, n_flat), activation(), nn.Unflatten(1, (maps[-1], *sizes[-1]))
            )
            for level in reversed(range(len(channels))):
                decoder.extend(self._up(maps[level + 1], maps[level], sizes[level + 1], sizes[level]))
                decoder.append(activation() if level else nn.Flatten())
            return nn.ModuleDict({"encoder": encoder, "decoder": decoder})

        # with the channels last a step takes a quarter to a half less time on a CPU
        halves = initialised(make, random).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        encoder = nn.Sequential(Affine(1 / rows.scale, -rows.mean / rows.scale, 1), *halves["encoder"].children())
        decoder = nn.Sequential(*halves["decoder"].children())
        return ModuleNetwork(encoder, decoder if logits else decoder.append(Affine(rows.scale, rows.mean, 1)))

    def _down(self, n_in: int, n_out: int) -> list[nn.Module]:
        padding = self.kernel_size // 2
        activation = ACTIVATIONS[self.activation].layer()
        if self.down == "stride":
            return [nn.Conv2d(n_in, n_out, self.kernel_size, stride=2, padding=padding), activation]
        return [nn.Conv2d(n_in, n_out, self.kernel_size, padding=padding), nn.MaxPool2d(2, ceil_mode=True), activation]

    def _up(self, n_in: int, n_out: int, size: tuple[int, int], target: tuple[int, int]) -> list[nn.Module]:
        padding = self.kernel_size // 2
        if self.up == "upsample":
            return [nn.Upsample(target), nn.Conv2d(n_in, n_out, self.kernel_size, padding=padding)]
        missing = (target[0] - 2 * size[0] + 1, target[1] - 2 * size[1] + 1)  # 0 for an odd target, 1 for an even one
        return [nn.ConvTranspose2d(n_in, n_out, self.kernel_size, stride=2, padding=padding, output_padding=missing)]
