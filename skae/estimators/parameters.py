"""The parameters that all estimators share, and their documentation."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, Field, dataclass, field
from inspect import cleandoc
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone

from skae._compat import HasMethods, Interval, StrOptions
from skae.messages import listed
from skae.networks import DenseNetwork, MemoryNetwork
from skae.objectives import LOSSES
from skae.precision import PRECISIONS
from skae.tables import Table
from skae.training import Schedule, auto_batch_size

PARAMETERS = """
hidden_layer_sizes : int or sequence of int, default=(128, 64)
    Units of the encoder's hidden layers, from the input inwards; the decoder mirrors them. ``()`` for none.
activation : {"relu", "gelu", "silu", "tanh", "sigmoid", "identity"}, default="relu"
    Activation of the hidden layers. The code is linear unless said otherwise.
network : network specification, callable or None, default=None
    Replaces ``hidden_layer_sizes`` and ``activation``: a specification such as `skae.networks.DenseNetwork`, or a
    callable ``(n_features, n_components) -> (encoder, decoder)`` of torch modules over batches of rows.
loss : {"squared_error", "absolute_error", "huber", "binary_cross_entropy"}, default="squared_error"
    Distance of a row to its reconstruction, mean over the features. "huber" is squared up to 1 and linear beyond.
    "binary_cross_entropy" needs X in [0, 1] and takes the network's output as logits of the reconstruction.
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
shuffle : bool, default=True
    Whether each epoch takes the rows in a new random order; of a stream, within a buffer.
tol : float, default=1e-4
    Smallest improvement that counts, relative to the lowest loss so far.
warm_start : bool, default=False
    Whether another `fit` continues from the weights of the last one. ``network``, ``loss`` and other parameters that
    decide what the model computes must be as they were then.
device : {"auto", "cpu", "cuda", "cuda:<index>", "mps"}, default="auto"
    Where to compute. "auto" is a GPU where there is one. A model fitted on a GPU is pickled as a CPU model, scores
    on a machine without a GPU and, by a copy that is made once, on ``device`` again where there is one.
max_memory : float or "auto", default="auto"
    MiB that rows may take which are read as they are needed: a `numpy.memmap` that is larger, a dataset of pyarrow,
    batches. "auto" is 0.7 of the memory that is free. With ``early_stopping`` at most an eighth holds rows back.
precision : {"float32", "tf32", "bfloat16"}, default="float32"
    Format of matrix products in training; everything else is float32. "tf32" (NVIDIA GPUs since Ampere) and "bfloat16"
    (these GPUs and CPUs) are faster for large networks, at three and two decimal digits. Where the device does not
    support them, training is in float32, and the log says so once.
random_state : int, RandomState instance or None, default=None
    Seed of weights, shuffling, hold-out and noise. The same int gives the same model to the bit on one CPU
    machine. NumPy's and torch's global generators are neither read nor changed, with one exception: for torch
    modules of your own, torch's is seeded during the fit and then put back.
verbose : bool, default=False
    Whether to print a line for each epoch.
"""

ATTRIBUTES = """
Attributes
----------
encoder_ : torch.nn.Module
    The trained encoder, over float32 batches (n_samples, n_features).
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

DECODER = """
decoder_ : torch.nn.Module
    The trained decoder, over float32 batches (n_samples, n_components).
"""

CATEGORICAL_FEATURES = """
categorical_features : "from_dtype", array-like of str, int or bool, or None, default="from_dtype"
    Columns of X that are categories: by their dtypes, names, numbers or a mask, as in
    `sklearn.ensemble.HistGradientBoostingClassifier`. "from_dtype" takes the columns of a frame that hold text,
    booleans or are of a category dtype, and none of an array. They need a dense network and any loss but
    "binary_cross_entropy"; so do missing values (NaN, None, NA), which any column may have. See the user guide.
"""

# what a class's docstring may name in braces; a class adds parameters of its own before, attributes after
SHARED_DOCS = {
    "shared_parameters": PARAMETERS.strip(),
    "shared_attributes": ATTRIBUTES.strip() + DECODER.rstrip(),
    "attributes_without_decoder": ATTRIBUTES.strip(),
    "categorical_features": CATEGORICAL_FEATURES.strip(),
}
CATEGORICAL_CONSTRAINTS = (StrOptions({"from_dtype"}), "array-like", None)


def parameter(default: Any, *constraints: Any) -> Any:
    """Return a field with a default and the constraints that scikit-learn checks, any of which may hold."""
    return field(default=default, metadata={"constraints": list(constraints)})


class Parameters(BaseEstimator):
    """Base that collects constraints and fills docstrings in.

    A subclass's ``_parameter_constraints`` are extended by those of its fields. In its docstring
    ``{shared_parameters}`` and the other keys of `SHARED_DOCS` are replaced by its texts.
    """

    _parameter_constraints: ClassVar[dict] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        fields = {name: value.metadata for name, value in vars(cls).items() if isinstance(value, Field)}
        if own := {name: metadata["constraints"] for name, metadata in fields.items() if "constraints" in metadata}:
            cls._parameter_constraints = cls._parameter_constraints | own
        if cls.__doc__:
            cls.__doc__ = cleandoc(cls.__doc__)
            for name, text in SHARED_DOCS.items():
                cls.__doc__ = cls.__doc__.replace(f"{{{name}}}", text)


@dataclass(repr=False, eq=False)
class SharedParameters(Parameters):
    """The fields are the constructor's parameters."""

    n_components: int = parameter(32, Interval(Integral, 1, None, closed="left"))
    _: KW_ONLY
    hidden_layer_sizes: Any = parameter((128, 64), "array-like", Interval(Integral, 1, None, closed="left"))
    activation: str = parameter("relu", *DenseNetwork._parameter_constraints["activation"])
    network: Any = parameter(None, HasMethods("build"), callable, None)
    loss: str = parameter("squared_error", StrOptions(set(LOSSES)))
    alpha: float = parameter(0.0, Interval(Real, 0, None, closed="left"))
    batch_size: int | str = parameter("auto", StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"))
    learning_rate: str = parameter("cosine", StrOptions({"cosine", "constant", "adaptive"}))
    learning_rate_init: float = parameter(4e-3, Interval(Real, 0, None, closed="neither"))
    max_iter: int = parameter(100, Interval(Integral, 1, None, closed="left"))
    early_stopping: bool = parameter(False, "boolean")
    validation_fraction: float = parameter(0.1, Interval(Real, 0, 1, closed="neither"))
    n_iter_no_change: int = parameter(10, Interval(Integral, 1, None, closed="left"))
    shuffle: bool = parameter(True, "boolean")
    tol: float = parameter(1e-4, Interval(Real, 0, None, closed="left"))
    warm_start: bool = parameter(False, "boolean")
    device: str = parameter("auto", str)
    max_memory: float | str = parameter("auto", StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"))
    precision: str = parameter("float32", StrOptions({*PRECISIONS}))
    random_state: Any = parameter(None, "random_state")
    verbose: bool = parameter(False, "verbose")

    # parameters that decide what a fitted model computes: `fit` keeps their values, and cannot continue with others
    _fixed_by_fit: ClassVar[tuple[str, ...]] = ("n_components", "hidden_layer_sizes", "activation", "network", "loss")

    def _schedule(self, n_samples: int, one_pass: bool) -> Schedule:
        return Schedule(
            batch_size=auto_batch_size(n_samples) if isinstance(self.batch_size, str) else self.batch_size,
            max_iter=1 if one_pass else self.max_iter,
            learning_rate="constant" if one_pass else self.learning_rate,
            learning_rate_init=(float(self.learning_rate_init),),
            alpha=(float(self.alpha),),
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            stops_on_stall=self.early_stopping or self.learning_rate == "adaptive",
        )

    _makes_holes = False  # whether training puts holes into tables

    @property
    def _needs_all_flags(self) -> bool:
        """Whether columns without holes have flags too: a hole may come in training, or the flags need none."""
        return self._makes_holes or type(self.network) is MemoryNetwork

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
            f"Columns {listed(names)} of X are categories, for which {type(self).__name__} needs a dense network "
            "(network=None, DenseNetwork() without output_activation, or MemoryNetwork()) and another loss than "
            "'binary_cross_entropy'. Change them, encode the columns (OneHotEncoder), or, where they are numbers, "
            "set categorical_features=None."
        )

    def _network_is_callable(self) -> bool:
        return self.network is not None and not hasattr(self.network, "build")

    def _current_fixed(self) -> dict[str, Any]:
        """Return the current values of ``_fixed_by_fit``, as copies of what could be changed in place."""
        return {name: _snapshot(getattr(self, name)) for name in self._fixed_by_fit}

    def _check_unchanged(self) -> None:
        """Raise where the network or the loss is no longer that of the fit."""
        for name, fitted in self._fixed.items():
            if not are_same(value := getattr(self, name), fitted):
                raise ValueError(
                    f"{name}={value!r} differs from {fitted!r} of the fitted network. Set warm_start=False and call "
                    "fit to train a new one."
                )


def _snapshot(value: Any) -> Any:
    if isinstance(value, BaseEstimator):
        return clone(value)
    return copy.copy(value) if isinstance(value, list | np.ndarray) else value


def are_same(a: Any, b: Any) -> bool:
    """Whether two values of a parameter are equal; functions and modules are if they are the same object."""
    if isinstance(a, BaseEstimator) or isinstance(b, BaseEstimator):
        return type(a) is type(b) and all(are_same(v, getattr(b, k)) for k, v in a.get_params(deep=False).items())
    if callable(a) or callable(b):
        return a is b
    # 8 units are the same as (8,) and [8]
    a, b = (np.atleast_1d(np.asarray(value, dtype=object)) for value in (a, b))
    return bool(np.array_equal(a, b))
