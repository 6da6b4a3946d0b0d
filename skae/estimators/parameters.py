"""The parameters that all estimators share, and their documentation."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass
from inspect import cleandoc
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone

from skae._compat import HasMethods, Interval, StrOptions
from skae.networks import DenseNetwork
from skae.objectives import LOSSES
from skae.precision import PRECISIONS
from skae.training import Schedule, auto_batch_size

SHARED_PARAMETERS = """
hidden_layer_sizes : int or sequence of int, default=(128, 64)
    Units of the encoder's hidden layers, from the input inwards; the decoder mirrors them. ``()`` for none.
activation : {"relu", "gelu", "silu", "tanh", "sigmoid", "identity"}, default="relu"
    Activation of the hidden layers. The code is linear.
network : network specification, callable or None, default=None
    Replaces ``hidden_layer_sizes`` and ``activation``: a specification such as
    `skae.networks.DenseNetwork`, or a callable ``(n_features, n_components) -> (encoder, decoder)`` of torch
    modules over batches of rows.
loss : {"squared_error", "absolute_error", "huber", "binary_cross_entropy"}, default="squared_error"
    Distance between a row and its reconstruction, mean over the features. With "binary_cross_entropy" X must lie
    in [0, 1], the network's output is taken as logits and the reconstruction is a probability. "huber" is squared
    up to a distance of 1 and linear beyond.
alpha : float, default=0.0
    Decoupled weight decay (AdamW, Loshchilov & Hutter 2019), over all parameters of the network.
batch_size : int or "auto", default="auto"
    Mini-batch size. "auto" is a power of two from 8 to 256, so that an epoch has about 64 steps.
learning_rate : {"cosine", "constant", "adaptive"}, default="cosine"
    Schedule of the learning rate. "cosine" falls from ``learning_rate_init`` to 0 over ``max_iter`` epochs;
    "adaptive" falls to a fifth each time the loss stalls for ``n_iter_no_change`` epochs, four times.
learning_rate_init : float, default=4e-3
    Initial learning rate of AdamW.
max_iter : int, default=100
    Maximum number of epochs.
early_stopping : bool, default=False
    Whether to hold out ``validation_fraction`` of the rows, stop when their loss stalls, and keep the weights
    of the epoch where it was lowest.
validation_fraction : float in (0, 1), default=0.1
    Share of the rows held out by ``early_stopping``.
n_iter_no_change : int, default=10
    Epochs without an improvement by ``tol`` after which the loss counts as stalled: the held-out loss with
    ``early_stopping``, else the training loss. A stall ends training with ``early_stopping``, lowers an "adaptive"
    ``learning_rate`` and ends training once it is at its lowest; otherwise all ``max_iter`` epochs are run.
tol : float, default=1e-4
    Smallest improvement that counts, relative to the lowest loss so far.
warm_start : bool, default=False
    Whether another `fit` continues from the weights of the last one. ``network``, ``loss`` and other parameters that
    decide what the model computes must be as they were then.
device : {"auto", "cpu", "cuda", "cuda:<index>", "mps"}, default="auto"
    Where to compute. "auto" is a GPU where there is one. A model fitted on a GPU is pickled as a CPU model, scores
    on a machine without a GPU, and moves back where ``device`` is available.
precision : {"float32", "tf32", "bfloat16"}, default="float32"
    Format of matrix products in training; weights, sums and everything after training are float32. "tf32" (NVIDIA
    GPUs since Ampere) and "bfloat16" (these GPUs and CPUs) are faster for large networks, at three and two decimal
    digits. Where the device does not support them, training is in float32, and the log says so once.
random_state : int, RandomState instance or None, default=None
    Seed of weights, shuffling, hold-out and noise. The same int gives the same model to the bit on one CPU
    machine. NumPy's and torch's global generators are neither read nor changed, with one exception: for torch
    modules of your own, torch's is seeded during the fit and then put back.
verbose : bool, default=False
    Whether to print a line for each epoch.
"""

SHARED_ATTRIBUTES = """
encoder_, decoder_ : torch.nn.Module
    The trained halves, over float32 batches (n_samples, n_features) and (n_samples, n_components).
n_iter_ : int
    Epochs run, over all `partial_fit` and ``warm_start`` calls.
loss_curve_ : list of float
    Training loss of each epoch.
validation_loss_curve_ : list of float or None
    Held-out loss of each epoch, NaN for epochs without ``early_stopping``; None if it was never used.
best_epoch_ : int
    Epoch of the last `fit` with the lowest monitored loss, counted from 1.
n_features_in_ : int
    Number of features seen during `fit`.
feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of the features, where X has string column names.
"""


@dataclass(repr=False, eq=False)
class SharedParameters(BaseEstimator):
    """The fields are the constructor's parameters.

    In a subclass's docstring ``{shared_parameters}`` and ``{shared_attributes}`` are replaced by the texts above.
    """

    n_components: int = 32
    _: KW_ONLY
    hidden_layer_sizes: Any = (128, 64)
    activation: str = "relu"
    network: Any = None
    loss: str = "squared_error"
    alpha: float = 0.0
    batch_size: int | str = "auto"
    learning_rate: str = "cosine"
    learning_rate_init: float = 4e-3
    max_iter: int = 100
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    warm_start: bool = False
    device: str = "auto"
    precision: str = "float32"
    random_state: Any = None
    verbose: bool = False

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": DenseNetwork._parameter_constraints["activation"],
        "network": [HasMethods("build"), callable, None],
        "loss": [StrOptions(set(LOSSES))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"cosine", "constant", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str],
        "precision": [StrOptions({*PRECISIONS})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # parameters that decide what a fitted model computes: `fit` keeps their values, and cannot continue with others
    _fixed_by_fit: ClassVar[tuple[str, ...]] = (
        "n_components",
        "hidden_layer_sizes",
        "activation",
        "network",
        "loss",
    )

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.__doc__:
            doc = cleandoc(cls.__doc__)
            doc = doc.replace("{shared_parameters}", SHARED_PARAMETERS.strip())
            cls.__doc__ = doc.replace("{shared_attributes}", SHARED_ATTRIBUTES.strip())

    def _schedule(self, n_samples: int, one_pass: bool) -> Schedule:
        return Schedule(
            batch_size=auto_batch_size(n_samples) if isinstance(self.batch_size, str) else self.batch_size,
            max_iter=1 if one_pass else self.max_iter,
            learning_rate="constant" if one_pass else self.learning_rate,
            learning_rate_init=(self.learning_rate_init,),
            alpha=(self.alpha,),
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            stops_on_stall=self.early_stopping or self.learning_rate == "adaptive",
        )

    def _network_is_callable(self) -> bool:
        return self.network is not None and not hasattr(self.network, "build")

    def _current_fixed(self) -> dict[str, Any]:
        """Return the current values of ``_fixed_by_fit``, as copies of what could be changed in place."""
        return {name: _snapshot(getattr(self, name)) for name in self._fixed_by_fit}

    def _check_unchanged(self) -> None:
        """Raise where the network or the loss is no longer that of the fit."""
        for name, fitted in self._fixed.items():
            if not _are_same(value := getattr(self, name), fitted):
                raise ValueError(
                    f"{name}={value!r} differs from {fitted!r} of the fitted network. Set warm_start=False and call "
                    "fit to train a new one."
                )


def _snapshot(value: Any) -> Any:
    if isinstance(value, BaseEstimator):
        return clone(value)
    return copy.copy(value) if isinstance(value, list | np.ndarray) else value


def _are_same(a: Any, b: Any) -> bool:
    """Whether two values of a parameter are equal; functions and modules are if they are the same object."""
    if isinstance(a, BaseEstimator) or isinstance(b, BaseEstimator):
        same = type(a) is type(b) and a.get_params(deep=False).keys() == b.get_params(deep=False).keys()
        return same and all(_are_same(v, getattr(b, name)) for name, v in a.get_params(deep=False).items())
    if callable(a) or callable(b):
        return a is b
    # 8 units are the same as (8,) and [8]
    a, b = (np.atleast_1d(np.asarray(value, dtype=object)) for value in (a, b))
    return bool(np.array_equal(a, b))
