"""The denoising autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array

from skae._compat import Interval, StrOptions
from skae.corruptions import NAMES, make_corruption
from skae.estimators.fitted import loss_of
from skae.estimators.parameters import CATEGORICAL_CONSTRAINTS, parameter
from skae.estimators.reconstruction import BaseAutoEncoder
from skae.interfaces import Network, Objective
from skae.objectives import ReconstructionObjective
from skae.tables import FLOATS, chunks_of, has_holes, is_stream, read_rows, without_mask
from skae.training import bounds


@dataclass(repr=False, eq=False)
class DenoisingAutoEncoder(BaseAutoEncoder):
    r"""Denoising autoencoder: learns to undo noise that is put on its input.

    Encoder :math:`f` and decoder :math:`g` minimise the mean of :math:`d(x, g(f(\tilde x)))`, where
    :math:`\tilde x` is :math:`x` with noise, drawn anew for every batch [1]_. To remove it, the network has to learn
    how the features depend on each other, so that even a wide code is no mere copy of the row.

    Parameters
    ----------
    n_components : int, default=32
        Width of the code.
    corruption : {"gaussian", "masking", "salt_and_pepper", "swap"} or callable, default="gaussian"
        "gaussian" adds normal noise of standard deviation ``noise_level`` in X's units. The others change each value
        with probability ``noise_level``: "masking" to 0, "salt_and_pepper" to its column's training minimum or maximum,
        "swap" to that of another row of the batch. In X with categories or missing values "masking" removes values, and
        the others swap categories, "gaussian" so often that these change as much as the numbers do. A callable
        ``(batch, generator)`` takes a tensor (n_samples, n_features) and a `torch.Generator` on its device and returns
        the corrupted tensor, without ``noise_level``; categories stay.
    noise_level : float or (low, high), default=0.2
        Strength of the corruption: >= 0 for "gaussian", in [0, 1] for the others. From a range, for "gaussian", every
        row draws its own level, log-uniformly: the network learns of small and large deviations, to detect outliers.
    {categorical_features}
    {shared_parameters}

    {shared_attributes}

    See Also
    --------
    AutoEncoderTransformer : The same without noise.

    Notes
    -----
    Where noisy and clean rows are known, call ``fit(X_noisy, X_clean)``: a two-dimensional y, of X's shape, is what to
    reconstruct from X, which is then not corrupted further. One-dimensional labels are ignored.

    References
    ----------
    .. [1] P. Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoEncoder
    >>> X = load_digits().data / 16
    >>> X_noisy = X + 0.3 * np.random.default_rng(0).normal(size=X.shape)
    >>> denoiser = DenoisingAutoEncoder(16, noise_level=0.3, max_iter=20, random_state=0).fit(X)
    >>> bool(np.mean((denoiser.predict(X_noisy) - X) ** 2) < 0.5 * np.mean((X_noisy - X) ** 2))
    True
    """

    _: KW_ONLY
    corruption: str | Callable = parameter("gaussian", StrOptions(NAMES), callable)
    noise_level: Any = parameter(0.2, Interval(Real, 0, None, closed="left"), list, tuple)
    categorical_features: Any = parameter("from_dtype", *CATEGORICAL_CONSTRAINTS)

    _fixed_by_fit: ClassVar[tuple[str, ...]] = (*BaseAutoEncoder._fixed_by_fit, "categorical_features")

    def predict(self, X):
        """Return X cleaned; the same as `reconstruct`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Noisy rows.

        Returns
        -------
        X_clean : ndarray of shape (n_samples, n_features)
            Reconstructions.
        """
        return self.reconstruct(X)

    def _training_target(self, X: np.ndarray, y) -> np.ndarray | None:
        if y is None or (not issparse(y) and np.asarray(y).ndim < 2):
            if is_stream(y, self.max_memory):
                raise ValueError(f"y is a stream ({type(y).__name__}): clean rows are an array or a memmap.")
            return None
        y = without_mask(y)
        if self._table.is_plain and is_stream(y, self.max_memory):
            for part in chunks_of(y, self.max_memory):  # it stays in its file
                check_array(part.rows, dtype=FLOATS, input_name="y")
        elif self._table.is_plain:
            y = check_array(y, dtype=FLOATS, order="C", input_name="y")
        elif np.shape(y) == X.shape:
            _, y = read_rows(self, y, self._table)
            if has_holes(y) and not (has_holes(X) or any(self._table.n_levels)):
                raise ValueError("y has missing values where X has none: leave these rows out.")
        if np.shape(y) != X.shape:
            raise ValueError(
                f"y of shape {np.shape(y)} cannot be the clean rows of X, which has shape {X.shape}: give it X's "
                "shape, or give labels as one dimension."
            )
        return y

    @property
    def _can_be_batched(self) -> bool:  # type: ignore[override]
        return self.corruption != "salt_and_pepper"  # which needs the columns' bounds

    def _make_objective(self, network: Network, X: np.ndarray, target: np.ndarray | None) -> Objective:
        device = next(network.parameters()).device
        corruption = make_corruption(self.corruption, self.noise_level, partial(bounds, X), device, network.layout)
        return ReconstructionObjective(network, loss_of(network, self.loss), corruption if target is None else None)

    @property
    def _makes_holes(self) -> bool:  # type: ignore[override]
        return self.corruption == "masking"
