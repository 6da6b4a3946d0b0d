"""The adversarial autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skae._compat import Interval, StrOptions
from skae.device import on_cpu
from skae.estimators.parameters import parameter
from skae.estimators.preparation import INITIAL_WEIGHTS
from skae.estimators.reconstruction import BaseAutoEncoder
from skae.estimators.transaction import of_one_fit
from skae.interfaces import Network, Objective, RowSummary
from skae.networks import DenseNetwork
from skae.objectives import LOSSES
from skae.objectives.adversarial import AdversarialNetwork, AdversarialObjective
from skae.priors import PRIORS, draw, draw_codes, energy_distance, make_prior
from skae.random import RandomStreams, derived_seeds


@dataclass(repr=False, eq=False)
class AdversarialAutoEncoder(BaseAutoEncoder):
    r"""Adversarial autoencoder: its codes follow a distribution of your choice, so that new rows can be drawn.

    While encoder :math:`f` and decoder :math:`g` learn to reconstruct, a discriminator :math:`D` learns to tell codes
    from draws of the prior, and the encoder to deceive it [1]_. In each step the discriminator minimises the mean of

    .. math:: -\log D(z) - \log(1 - D(f(x))), \quad z \sim \text{prior},

    and then the autoencoder that of :math:`d(x, g(f(x))) - w \log D(f(x))`, where ``loss`` names the distance
    :math:`d`, here divided by its size on rows that are reconstructed as their mean [2]_.

    Parameters
    ----------
    n_components : int, default=32
        Width of the code. Wide codes are harder for the discriminator; 2 to 16 work well.
    prior : {"normal", "uniform", "gaussian_mixture", "swiss_roll"} or callable, default="normal"
        "normal" is standard normal, "uniform" is over [-1, 1]; "gaussian_mixture" is ten clusters around a circle of
        radius 2 and "swiss_roll" a spiral of that radius, in the first two components, with others standard normal. A
        callable ``(n, n_components, generator)`` returns a tensor (n, n_components) on its `torch.Generator`'s device.
    adversarial_weight : float, default=0.1
        Weight w of the adversarial loss, >= 0. More than 0.3 made training unstable in our measurements.
    discriminator_layer_sizes : int or sequence of int, default=(128, 128)
        Units of the discriminator's hidden layers.
    {shared_parameters}

    {shared_attributes}

    See Also
    --------
    VariationalAutoEncoder : Draws from a normal distribution of codes, and has a density.

    Notes
    -----
    ``loss_curve_``, `score_samples` and early stopping measure only the reconstruction; `prior_distance` measures how
    well the codes follow the prior. Adam's memory of gradients is shortened (``betas=(0.5, 0.999)``) for the
    discriminator, which chases a moving target [3]_.

    Codes fill a prior with gaps, such as "swiss_roll", only in small steps. With 5,000 digits of MNIST and two
    components the default ``learning_rate_init`` leaves up to a third of the roll empty, 1e-3 nothing; the codes are
    closest to the prior with ``adversarial_weight=0.3``.

    References
    ----------
    .. [1] Makhzani, A. et al., "Adversarial autoencoders", arXiv:1511.05644, 2015.
    .. [2] Goodfellow, I. et al., "Generative adversarial nets", NeurIPS 2014.
    .. [3] Radford, A., Metz, L. and Chintala, S., "Unsupervised representation learning with deep convolutional
       generative adversarial networks", ICLR 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AdversarialAutoEncoder
    >>> X = load_digits().data / 16
    >>> autoencoder = AdversarialAutoEncoder(2, prior="uniform", max_iter=10, random_state=0).fit(X)
    >>> autoencoder.sample(5).shape
    (5, 64)
    """

    _: KW_ONLY
    prior: str | Callable = parameter("normal", StrOptions(set(PRIORS)), callable)
    adversarial_weight: float = parameter(0.1, Interval(Real, 0, None, closed="left"))
    discriminator_layer_sizes: Any = parameter((128, 128), "array-like", Interval(Integral, 1, None, closed="left"))

    _fixed_by_fit: ClassVar[tuple[str, ...]] = (*BaseAutoEncoder._fixed_by_fit, "prior", "discriminator_layer_sizes")

    @of_one_fit
    def sample(self, n_samples=1):
        """Draw rows: the reconstructions of codes that are drawn from the prior.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Rows; with an integer ``random_state`` the same at each call.
        """
        return self.inverse_transform(self.sample_codes(n_samples))

    @of_one_fit
    def sample_codes(self, n_samples=1):
        """Draw codes from the prior.

        Parameters
        ----------
        n_samples : int, default=1
            Number of codes.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), float32
            Codes; with an integer ``random_state`` the same at each call. `sample` reconstructs them.
        """
        check_is_fitted(self)
        n_components = self._fixed["n_components"]
        prior = make_prior(self._fixed["prior"], n_components)
        return draw_codes(prior, n_samples, n_components, self.random_state)

    @of_one_fit
    def prior_distance(self, X):
        r"""Return how far the codes of rows are from the prior: 0 where they follow it, at most 1.

        For codes :math:`z, z'` and as many draws :math:`p, p'` of the prior this is

        .. math:: \sqrt{1 - \frac{E\lVert z - z'\rVert + E\lVert p - p'\rVert}{2\,E\lVert z - p\rVert}},

        the root of the energy distance, relative to the largest value that it could have [1]_. By chance, n codes that
        do follow the prior are at about :math:`1 / \sqrt{n}`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, best ones that were not used for training. Some thousands are enough; the time grows with the square
            of their number.

        Returns
        -------
        distance : float
            With an integer ``random_state`` the same at each call.

        References
        ----------
        .. [1] Szekely, G. J. and Rizzo, M. L., "Energy statistics: a class of statistics based on distances", Journal
           of Statistical Planning and Inference 143, 2013.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skae import AdversarialAutoEncoder
        >>> X = load_digits().data / 16
        >>> follows = AdversarialAutoEncoder(2, max_iter=10, random_state=0).fit(X)
        >>> ignores = AdversarialAutoEncoder(2, adversarial_weight=0, max_iter=10, random_state=0).fit(X)
        >>> follows.prior_distance(X) < 0.5 * ignores.prior_distance(X)
        True
        """
        Z = np.asarray(self.transform(X))
        return energy_distance(Z, self.sample_codes(len(Z)))

    def _build_network(self, rows: RowSummary, seed: int) -> Network:
        random = RandomStreams(derived_seeds(seed, INITIAL_WEIGHTS, 1), "cpu")
        with on_cpu():
            codes = RowSummary(torch.zeros(int(self.n_components), dtype=torch.float64), 1.0)
            discriminator = DenseNetwork(self.discriminator_layer_sizes).build(codes, 1, random, logits=True).encoder
        return AdversarialNetwork(self._build_from_specification(rows, self.n_components, seed), discriminator)

    def _make_objective(self, network: Any, X: np.ndarray, target: np.ndarray | None) -> Objective:
        drawn = partial(draw, make_prior(self.prior, self.n_components))
        return AdversarialObjective(network, LOSSES[self.loss], drawn, float(self.adversarial_weight))
