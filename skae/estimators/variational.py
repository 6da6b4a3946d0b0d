"""The variational autoencoder."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skae.estimators.density import DensityScores
from skae.estimators.parameters import CATEGORICAL_CONSTRAINTS, parameter
from skae.estimators.transaction import of_one_fit
from skae.interfaces import Network, Objective, RowSummary
from skae.objectives.variational import Likelihood, VariationalNetwork, VariationalObjective
from skae.priors import draw_codes, normal
from skae.tables import TableLoss, TableNetwork


@dataclass(repr=False, eq=False)
class VariationalAutoEncoder(DensityScores):
    r"""Variational autoencoder: a density of the rows, from which new ones can be drawn.

    A row is thought to come from a code :math:`z`, drawn from the standard normal distribution, through the decoder's
    :math:`p(x \mid z)`; the encoder gives the normal distribution :math:`q(z \mid x)` of the codes that a row may have
    come from. Both maximise the evidence lower bound [1]_

    .. math:: \log p(x) \ge E_{q(z \mid x)}[\log p(x \mid z)] - \beta \, KL(q(z \mid x) \,\|\, N(0, I))

    at :math:`\beta = 1`. `transform` returns the mean of :math:`q(z \mid x)`.

    ``loss`` names :math:`p(x \mid z)`: "binary_cross_entropy" is Bernoulli (values between 0 and 1 count as
    probabilities), "squared_error" normal, "absolute_error" Laplace, "huber" in between. Their scale, one number for
    all, is learnt too [3]_, so the unit of X does not matter. Losses and scores are in nats, summed over the features.

    Parameters
    ----------
    n_components : int, default=32
        Width of the code.
    beta : float, default=1.0
        Weight of the divergence, >= 0. More than 1 trades reconstruction for a code of independent features [4]_.
    bound : {"elbo", "importance_weighted"}, default="elbo"
        What `score_samples` returns: the bound above, or the tighter one of Burda et al. [2]_, the logarithm of the
        mean over ``n_draws`` codes of :math:`p(x, z) / q(z \mid x)`.
    n_draws : int, default=16
        Codes that `score_samples` draws for a row, evenly spread where it is a power of 2; each costs a pass through
        the decoder.
    {categorical_features}
    {shared_parameters}

    {shared_attributes}

    See Also
    --------
    ConditionalVariationalAutoEncoder : With classes; draws rows of a given one.
    AdversarialAutoEncoder : Also draws rows, from any distribution of codes.

    Notes
    -----
    ``network`` is built, or called, with ``2 * n_components``, for the encoder's mean and log-variance, and with
    ``n_components``, for the decoder. Halves that share weights, and a ``code_activation``, which would bound the
    log-variance, raise a ValueError.

    References
    ----------
    .. [1] Kingma, D. P. and Welling, M., "Auto-encoding variational Bayes", ICLR 2014.
    .. [2] Burda, Y., Grosse, R. and Salakhutdinov, R., "Importance weighted autoencoders", ICLR 2016.
    .. [3] Rybkin, O., Daniilidis, K. and Levine, S., "Simple and effective VAE training with calibrated decoders",
       ICML 2021.
    .. [4] Higgins, I., Matthey, L., Pal, A. et al., "beta-VAE: learning basic visual concepts with a constrained
       variational framework", ICLR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import VariationalAutoEncoder
    >>> X = load_digits().data / 16
    >>> vae = VariationalAutoEncoder(8, loss="binary_cross_entropy", max_iter=10, random_state=0).fit(X)
    >>> vae.sample(5).shape
    (5, 64)
    >>> bool(vae.score(X) > vae.score(X[:, ::-1]))  # nats: mirrored digits are less likely
    True
    """

    _: KW_ONLY
    categorical_features: Any = parameter("from_dtype", *CATEGORICAL_CONSTRAINTS)

    _can_be_batched: ClassVar[bool] = True
    _fixed_by_fit: ClassVar[tuple[str, ...]] = (*DensityScores._fixed_by_fit, "categorical_features")

    @of_one_fit
    def sample(self, n_samples=1):
        r"""Draw rows, as the means of :math:`p(x \mid z)` for codes :math:`z` from the standard normal distribution.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Rows; with an integer ``random_state`` the same at each call.
        """
        check_is_fitted(self)
        return self.inverse_transform(draw_codes(normal, n_samples, self._n_features_out, self.random_state))

    def _build_network(self, rows: RowSummary, seed: int) -> Network:
        recognition, generator = self._build_parts(rows, [2 * self.n_components, self.n_components], seed)
        likelihood = Likelihood(self.loss, rows.scale, recognition.n_members)
        network = VariationalNetwork(recognition, generator, likelihood, self.n_components)
        if (layout := rows.layout) is not None:
            network.layout, likelihood.cells = layout, TableLoss(layout, self.loss)
            network.recognition = TableNetwork(recognition, layout, fills_holes=False)  # it has no decoder
            network.generator = TableNetwork(generator, layout)
        return network

    def _make_objective(self, network: Any, X: np.ndarray, target: np.ndarray | None) -> Objective:
        return VariationalObjective(network, float(self.beta))
