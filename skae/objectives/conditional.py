"""A lower bound on the log-density of rows and classes, where some or all classes are known."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae.interfaces import Batch, Network, Objective
from skae.objectives.variational import LOG_VARIANCE_BOUNDS, GenerativeNetwork, Likelihood, kl_to_standard_normal
from skae.random import RandomStreams


class ConditionalNetwork(GenerativeNetwork):
    """A classifier of rows, and a code that is a normal distribution for each row and class.

    ``classifier`` encodes a row as a logit for each class, ``recognition`` as means and log-variances of its code for
    each class in turn, all in one pass. ``decode`` takes codes followed by the indicators of the class,
    (K, B, n_components + n_classes). ``class_prior``, (n_classes,), is the probability of each class.
    """

    log_prior: Tensor  # (K, n_classes)

    def __init__(
        self, classifier: Network, recognition: Network, generator: Network, likelihood: Likelihood, class_prior: Tensor
    ):
        super().__init__(recognition, generator, likelihood)
        classifier.decoder = nn.Identity()
        self.classifier = classifier
        self.n_classes = len(class_prior)  # C
        self.register_buffer("log_prior", class_prior.float().log().repeat(self.n_members, 1))

    def is_small(self, n_rows: int) -> bool:
        """Whether all its networks are; a row may be decoded with each class."""
        return self.classifier.is_small(n_rows) and super().is_small(n_rows * self.n_classes)

    def posteriors(self, x: Tensor, random: RandomStreams | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the code given each class, (K, B, C, n_components) both."""
        mean, log_variance = self.recognition.encode(x, random).unflatten(-1, (self.n_classes, -1)).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_BOUNDS)

    def class_logits(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_features) -> (K, B, C)."""
        return self.classifier.encode(x, random)

    def decode_given(self, z: Tensor, classes: Tensor, random: RandomStreams | None = None) -> Tensor:
        """Decode codes (K, B, c, n_components) with indicators (K, B, c, C), c of them a row, in one pass."""
        codes = torch.cat([z, classes.expand(*z.shape[:-1], self.n_classes)], -1)
        return self.decode(codes.flatten(1, 2), random).unflatten(1, z.shape[1:3])

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """Return the mean of each row's code given its most probable class, (K, B, n_components)."""
        return _of_best_class(self.class_logits(x, random), self.recognition.encode(x, random))

    def forward(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """Decode the code of x with its most probable class."""
        logits = self.class_logits(x, random)
        z = _of_best_class(logits, self.recognition.encode(x, random))
        return self.decode(torch.cat([z, _indicators(logits.argmax(-1), self.n_classes)], -1), random)

    def log_joint_bounds(self, x: Tensor, noise: Tensor, importance_weighted: bool) -> Tensor:
        """Return lower bounds on the log-density of each row with each class, log p(x, y), in nats, (K, B, C)."""
        classes = torch.eye(self.n_classes, dtype=torch.float32, device=x.device)
        decode = partial(self.decode_given, classes=classes)
        bounds = self._bound(x.unsqueeze(2), self.posteriors(x), decode, noise, importance_weighted)  # (K, B, C)
        return bounds + self.log_prior.unsqueeze(1)

    def log_density_bound(self, x: Tensor, noise: Tensor, importance_weighted: bool) -> Tensor:
        """Return a lower bound on the log-density of each row, log sum_y p(y) exp(bound(x | y)), in nats, (K, B)."""
        return self.log_joint_bounds(x, noise, importance_weighted).logsumexp(-1)

    @property
    def encoder(self) -> nn.Module:  # type: ignore[override]
        """From rows to the means of their codes."""
        return BestClassEncoder(self.classifier.encoder, self.recognition.encoder)


class BestClassEncoder(nn.Module):
    """From rows to the means of their codes given their most probable class."""

    def __init__(self, classifier: nn.Module, recognition: nn.Module):
        super().__init__()
        self.classifier, self.recognition = classifier, recognition

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_features) -> (..., n_components)."""
        return _of_best_class(self.classifier(x.clone()), self.recognition(x))  # modules may work in place


def _of_best_class(logits: Tensor, posteriors: Tensor) -> Tensor:
    """Return the mean that belongs to the highest logit, (..., C) and (..., C * 2 * n) -> (..., n)."""
    means = posteriors.unflatten(-1, (logits.shape[-1], -1)).chunk(2, -1)[0]
    best = logits.argmax(-1)[..., None, None].expand(*means.shape[:-2], 1, means.shape[-1])
    return means.gather(-2, best).squeeze(-2)


def _indicators(labels: Tensor, n_classes: int) -> Tensor:
    """(...) -> (..., n_classes); none is set where the label is -1. Unlike `one_hot` it needs no synchronisation."""
    return (labels.unsqueeze(-1) == torch.arange(n_classes, device=labels.device)).float()


class ConditionalObjective(Objective):
    """Minus the evidence lower bound of each row: of its class, or the mean over all, weighted by the classifier.

    ``beta`` weights the divergence, ``classification_weight`` minus the log-probability that the classifier gives the
    known classes, mean over these. Where ``known_share`` is 1, each row is decoded with its own class only.
    """

    network: ConditionalNetwork

    def __init__(self, network: ConditionalNetwork, beta: float, classification_weight: float, known_share: float):
        self.network, self.beta, self.known_share = network, beta, known_share
        self.classification_weight = classification_weight / known_share if known_share else 0.0

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return the loss of each row, (K, B)."""
        network, likelihood, labels = self.network, self.network.likelihood, batch.labels
        assert labels is not None
        n_classes = network.n_classes
        log_q = F.log_softmax(network.class_logits(batch.x, random), -1)  # (K, B, C)
        mean, log_variance = network.posteriors(batch.x, random)  # (K, B, C, n_components)
        noise = random.normal(mean.shape[1], 1, mean.shape[-1])  # the same for all classes of a row
        known = _indicators(labels, n_classes)  # (K, B, C)
        cross_entropy = -self.classification_weight * (known * log_q).sum(-1)
        log_prior = network.log_prior.unsqueeze(1)
        if self.known_share == 1:  # c = 1
            index = labels[..., None, None]
            mean, log_variance = mean.take_along_dim(index, 2), log_variance.take_along_dim(index, 2)
            classes, weight = known.unsqueeze(2), torch.ones_like(log_q[..., :1])
            log_prior = log_prior.expand_as(log_q).take_along_dim(index.squeeze(-1), 2)
            entropy = torch.zeros_like(cross_entropy)
        else:  # c = C
            classes = torch.eye(n_classes, dtype=torch.float32, device=log_q.device)
            unknown = (labels < 0).unsqueeze(-1)
            weight = torch.where(unknown, log_q.exp(), known)
            entropy = -torch.where(unknown, weight * log_q, 0.0).sum(-1)
        z = mean + (0.5 * log_variance).exp() * noise
        raw = network.decode_given(z, classes, random)  # (K, B, c, n_features)
        deviation = likelihood.deviation(raw, batch.target.unsqueeze(2))  # of distances (K, B, c)
        bounds = likelihood.negative_log(deviation) - log_prior
        bounds = bounds + self.beta * kl_to_standard_normal(mean, log_variance)
        if network.training:
            likelihood.follow((weight * deviation.distances).sum(-1), batch.target.shape[-1])
        return (weight * bounds).sum(-1) - entropy + cross_entropy
