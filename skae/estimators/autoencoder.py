"""The plain autoencoder."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from skae.estimators.parameters import CATEGORICAL_CONSTRAINTS, parameter
from skae.estimators.reconstruction import BaseAutoEncoder


@dataclass(repr=False, eq=False)
class AutoEncoderTransformer(BaseAutoEncoder):
    """Autoencoder: a network learns to reproduce its input through a narrow code.

    Encoder :math:`f` and decoder :math:`g` minimise the mean of :math:`d(x, g(f(x)))` over the training rows [1]_,
    where ``loss`` names the distance :math:`d`. With no hidden layer and the squared error the code spans PCA's
    subspace [2]_; hidden layers make it bend.

    Like `sklearn.decomposition.PCA` the network works on centred columns, so their location and common unit do not
    matter, but columns of different scale should be standardised first.

    Parameters
    ----------
    n_components : int, default=32
        Width of the code.
    {categorical_features}
    {shared_parameters}

    {shared_attributes}

    See Also
    --------
    DenoisingAutoEncoder : Learns to undo noise, the better code for most data.
    AutoEncoderOutlierDetector : Finds rows that an autoencoder reconstructs badly.

    References
    ----------
    .. [1] G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks",
       Science 313, 2006.
    .. [2] P. Baldi and K. Hornik, "Neural networks and principal component analysis", Neural Networks 2, 1989.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoEncoderTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoEncoderTransformer(8, max_iter=5, random_state=0).fit(X / 16)
    >>> autoencoder.transform(X / 16).shape
    (1797, 8)
    >>> autoencoder.reconstruct(X / 16).shape
    (1797, 64)
    """

    _: KW_ONLY
    categorical_features: Any = parameter("from_dtype", *CATEGORICAL_CONSTRAINTS)

    _can_be_batched: ClassVar[bool] = True
    _counts_each_row_alone: ClassVar[bool] = True
    _fixed_by_fit: ClassVar[tuple[str, ...]] = (*BaseAutoEncoder._fixed_by_fit, "categorical_features")
