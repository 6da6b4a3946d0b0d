"""The conditional variational autoencoder against its formulas, one class at a time."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.distributions import Normal, kl_divergence

from skae.estimators.conditional import ConditionalVariationalAutoEncoder
from skae.interfaces import Batch, RowSummary
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork
from skae.objectives.conditional import ConditionalNetwork, ConditionalObjective
from skae.objectives.variational import Likelihood, normal_draws
from skae.outliers import AutoEncoderOutlierDetector
from skae.random import RandomStreams

PRIOR = torch.tensor([0.5, 0.3, 0.2])


def quick(n_components=2, **parameters):
    return ConditionalVariationalAutoEncoder(
        n_components,
        **{
            "hidden_layer_sizes": (16,),
            "max_iter": 10,
            "batch_size": 64,
            "random_state": 0,
            "device": "cpu",
            **parameters,
        },
    )


@pytest.fixture(scope="module")
def clusters():
    """Rows of five features in three well separated classes, and the classes' names."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=240)
    return 4 * rng.normal(size=(3, 5))[y] + rng.normal(size=(240, 5)), np.array(["ash", "elm", "oak"])[y]


def make_network(n_members=1, loss="squared_error"):
    """A network of 4 features, 3 classes and 2 components."""
    rows, random = RowSummary(torch.zeros(4), 1.0), RandomStreams(range(n_members))
    specification = DenseNetwork((6,), "tanh")
    classifier, recognition, generator = (specification.build(rows, n, random, False) for n in (3, 12, 5))
    return ConditionalNetwork(classifier, recognition, generator, Likelihood(loss, 0.8, n_members), PRIOR)


def bound_by_hand(network, x, noise, c):
    """Return the bound on log p(x, c) of each row, and the terms' sum but for the divergence, (K, B)."""
    mean, log_variance = network.recognition.encode(x)[..., 4 * c : 4 * c + 4].chunk(2, -1)
    posterior = Normal(mean, (log_variance / 2).exp())
    indicator = torch.eye(3)[c].expand(*x.shape[:2], 3)
    raw = network.decode(torch.cat([mean + posterior.scale * noise, indicator], -1))
    scale = (network.likelihood.log_scale.exp() / 2).sqrt().view(-1, 1, 1)
    likelihood = Normal(raw, scale).log_prob(x).sum(-1)
    return likelihood + PRIOR[c].log(), kl_divergence(posterior, Normal(0.0, 1.0)).sum(-1)


# ---- the formulas ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_row_losses_are_the_formulas_one_class_at_a_time(beta):
    network = make_network(2).eval()
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[0, -1, 2, 1, -1, -1], [-1, 1, -1, 0, 2, 2]])
    noise = RandomStreams([5, 6]).normal(6, 1, 2).squeeze(2)
    losses = ConditionalObjective(network, beta, 0.1, 0.25).row_losses(Batch(x, x, labels), RandomStreams([5, 6]))

    terms = [bound_by_hand(network, x, noise, c) for c in range(3)]
    bounds = torch.stack([likelihood - beta * kl for likelihood, kl in terms], -1)  # (K, B, C)
    q = network.classifier.encode(x).softmax(-1)
    unknown = -(q * (bounds - q.log())).sum(-1)
    index = labels.clamp(min=0).unsqueeze(-1)
    known = -bounds.gather(-1, index).squeeze(-1) - 0.1 / 0.25 * q.gather(-1, index).squeeze(-1).log()
    torch.testing.assert_close(losses, torch.where(labels < 0, unknown, known), rtol=1e-4, atol=1e-4)


def test_decoding_only_the_known_class_changes_no_loss_gradient_or_scale():
    x = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(1))
    batch = Batch(x, x, torch.tensor([[0, 1, 2, 1, 0, 0]]))
    outcomes = []
    for known_share in (1, 1 - 1e-9):
        network = make_network()
        losses = ConditionalObjective(network, 1.0, 0.1, known_share).row_losses(batch, RandomStreams([5]))
        losses.sum().backward()
        gradients = [p.grad.flatten() for p in network.parameters()]
        outcomes.append(torch.cat([losses.flatten(), network.likelihood.log_scale, *gradients]))
    torch.testing.assert_close(*outcomes, rtol=1e-4, atol=1e-4)


def test_rows_of_unknown_class_teach_the_classifier():
    network, x = make_network(), torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(1))
    batch = Batch(x, x, torch.full((1, 6), -1))
    ConditionalObjective(network, 1.0, 0.1, 0.0).row_losses(batch, RandomStreams([5])).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.classifier.encoder.parameters())


def test_members_are_the_same_alone_and_together():
    x, labels = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([[0, 1, -1] * 2] * 2)
    losses = ConditionalObjective(make_network(2), 1.0, 0.1, 0.5).row_losses(Batch(x, x, labels), RandomStreams([5, 6]))
    loss = ConditionalObjective(make_network(1), 1.0, 0.1, 0.5).row_losses(
        Batch(x[:1], x[:1], labels[:1]), RandomStreams([5])
    )
    torch.testing.assert_close(losses[:1], loss)


def test_score_puts_the_bounds_of_the_classes_together():
    network = make_network().eval()
    x, noise = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(1)), normal_draws(4, 2, 0)
    with torch.no_grad():
        per_draw = [[bound_by_hand(network, x, draw, c) for c in range(3)] for draw in noise]
        likelihood = torch.stack([torch.stack([term for term, _ in classes]) for classes in per_draw])  # (4, C, K, B)
        bounds = likelihood.mean(0) - torch.stack([kl for _, kl in per_draw[0]])
        torch.testing.assert_close(network.log_density_bound(x, noise, False), bounds.logsumexp(0))
        tighter = network.log_density_bound(x, normal_draws(256, 2, 0), True)
        assert tighter.mean() > network.log_density_bound(x, normal_draws(256, 2, 0), False).mean()


def test_score_with_classes_is_minus_the_labelled_objective():
    network = make_network().double().eval()
    x = torch.randn(1, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels, noise = torch.tensor([[0, 1, 2, 1, 0, 0]]), normal_draws(1, 2, 0).double()

    class SameNoise:
        def normal(self, *shape):
            return noise.expand(1, *shape)

    losses = ConditionalObjective(network, 1.0, 0.0, 1.0).row_losses(Batch(x, x, labels), SameNoise())
    bounds = network.log_joint_bounds(x, noise, False)
    torch.testing.assert_close(bounds.gather(-1, labels.unsqueeze(-1)).squeeze(-1), -losses, rtol=1e-12, atol=1e-12)


def test_score_counts_each_row_with_its_class_where_it_is_known(clusters):
    X, y = clusters
    few = np.where(np.arange(240) % 3 > 0, y, "-1")
    cvae = quick(max_iter=40, learning_rate_init=2e-2).fit(X, few)
    marginal = cvae.score_samples(X)
    assert cvae.score(X) == marginal.mean()
    assert cvae.score(X, np.full(240, "-1")) == pytest.approx(marginal.mean(), rel=1e-6)
    assert cvae.score(X, y) < marginal.mean() + 1e-5  # log p(x, y) < log p(x)
    known, unknown = few != "-1", few == "-1"
    parts = known.sum() * cvae.score(X[known], few[known]) + marginal[unknown].sum()
    assert cvae.score(X, few) == pytest.approx(parts / 240, rel=1e-6)
    others = np.roll(np.unique(y), 1)[np.searchsorted(np.unique(y), y)]
    assert cvae.score(X, others) < cvae.score(X, y) - 1  # a wrong class is less likely
    # over all classes, the densities with each add up to that without
    each = np.stack([[cvae.score(X[i : i + 1], [name]) for name in cvae.classes_] for i in range(5)])
    np.testing.assert_allclose(np.logaddexp.reduce(each, 1), marginal[:5], rtol=1e-5)
    batches = [X[:100], X[100:]]
    assert cvae.score(iter(batches), few) == pytest.approx(cvae.score(X, few), rel=1e-6)


def test_a_search_scores_with_the_classes(clusters):
    X, y = clusters
    search = GridSearchCV(quick(), {"n_components": [1, 2]}, cv=StratifiedKFold(2)).fit(X, y)
    train, test = next(StratifiedKFold(2).split(X, y))
    expected = quick(search.param_grid["n_components"][0]).fit(X[train], y[train]).score(X[test], y[test])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected, rel=1e-6)


def test_score_refuses_classes_that_were_not_in_the_fit(clusters):
    X, y = clusters
    with pytest.raises(
        ValueError, match=r"y has classes \['fir'\] that are not among classes_=\['ash', 'elm', 'oak'\]"
    ):
        quick(max_iter=1).fit(X, y).score(X[:2], ["ash", "fir"])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick(max_iter=1).fit(X, y).score(X, y[:5])


# ---- classes -----------------------------------------------------------------------------------------------


def test_few_known_classes_are_enough(clusters):
    X, y = clusters
    known = np.isin(np.arange(240), [np.flatnonzero(y == name)[i] for name in np.unique(y) for i in range(3)])
    few = np.where(known, y, "-1")
    cvae = quick(max_iter=40, learning_rate_init=2e-2).fit(X, few)
    assert cvae.classes_.tolist() == ["ash", "elm", "oak"]
    assert np.mean(cvae.predict(X)[~known] == y[~known]) > 0.97
    np.testing.assert_allclose(cvae.predict_proba(X).sum(1), 1)


def test_samples_are_of_their_classes(digits):
    y = load_digits().target
    cvae = quick(8, hidden_layer_sizes=(64,), loss="binary_cross_entropy", max_iter=25).fit(digits, y)
    judge = LogisticRegression(max_iter=300).fit(digits, y)
    X, drawn = cvae.sample(500)
    assert np.mean(judge.predict(X) == drawn) > 0.95
    assert np.unique(drawn).tolist() == list(range(10))
    X, drawn = cvae.sample(50, y=3)
    assert drawn.tolist() == [3] * 50
    assert np.mean(judge.predict(X) == 3) > 0.9
    assert X.std(0).max() > 0.1  # threes are not all the same
    assert np.array_equal(cvae.sample(50, y=[3] * 50)[0], X)


def test_codes_do_not_tell_the_class_which_comes_back_through_y(clusters):
    X, y = clusters
    cvae = quick(max_iter=40, learning_rate_init=2e-2).fit(X, y)
    Z = cvae.transform(X)
    assert Z.shape == (240, 2)
    assert LogisticRegression().fit(Z, y).score(Z, y) < 0.7
    X_hat = cvae.reconstruct(X)
    np.testing.assert_allclose(cvae.inverse_transform(Z, cvae.predict(X)), X_hat, rtol=1e-5, atol=1e-5)
    means = [
        prior * cvae.inverse_transform(Z, name) for name, prior in zip(cvae.classes_, cvae.class_prior_, strict=True)
    ]
    np.testing.assert_allclose(cvae.inverse_transform(Z), np.sum(means, 0), rtol=1e-5, atol=1e-5)
    assert np.mean((X_hat - X) ** 2) < 0.1 * np.mean((cvae.inverse_transform(Z) - X) ** 2)
    as_elm = cvae.inverse_transform(Z, "elm")
    assert np.linalg.norm(as_elm.mean(0) - X[y == "elm"].mean(0)) < 1


def test_halves_are_modules(clusters):
    X, y = clusters
    cvae, X = quick().fit(X, y), X.astype(np.float32)
    with torch.no_grad():
        Z = cvae.encoder_(torch.tensor(X))
        indicators = torch.tensor(cvae.classes_[None] == cvae.predict(X)[:, None]).float()
        X_hat = cvae.decoder_(torch.cat([Z, indicators], 1))
    np.testing.assert_allclose(Z, cvae.transform(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(X_hat, cvae.reconstruct(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("y", "classes", "prior"),
    [
        ([0, 1, -1, -1, 1, 1], [0, 1], [2 / 6, 4 / 6]),
        ([0.0, 1.0, -1.0, -1.0, 1.0, 1.0], [0, 1], [2 / 6, 4 / 6]),
        (np.array(["a", "b", -1, -1, "b", "b"], dtype=object), ["a", "b"], [2 / 6, 4 / 6]),
        (["a", "b", "-1", "-1", "b", "b"], ["a", "b"], [2 / 6, 4 / 6]),
        ([7, 7, -1, 7, 7, 7], [7], [1]),
        ([-1] * 6, [0], [1]),
        (None, [0], [1]),
    ],
)
def test_ways_to_say_unknown(y, classes, prior):
    X = np.random.default_rng(0).normal(size=(6, 3))
    cvae = quick(max_iter=2).fit(X, y)
    assert cvae.classes_.tolist() == classes
    np.testing.assert_allclose(cvae.class_prior_, prior)
    assert set(cvae.predict(X).tolist()) <= set(classes)


def test_partial_fit_takes_classes_that_are_yet_to_come(clusters):
    X, y = clusters
    elm = y == "elm"
    cvae = quick(max_iter=1).partial_fit(X[elm], y[elm], classes=["oak", "elm", "ash"])
    cvae.partial_fit(X[~elm], y[~elm]).partial_fit(X)
    assert cvae.classes_.tolist() == ["ash", "elm", "oak"]
    assert (cvae.n_iter_, cvae.sample(3)[0].shape) == (3, (3, 5))
    with pytest.raises(
        ValueError, match=r"y has classes \['fir'\] that are not among classes_=\['ash', 'elm', 'oak'\]"
    ):
        cvae.partial_fit(X, np.where(elm, "fir", y))
    assert cvae.fit(X[elm], y[elm]).classes_.tolist() == ["elm"]


def test_a_failed_fit_keeps_the_earlier_classes(clusters):
    X, y = clusters
    cvae = quick(max_iter=2).fit(X, y)
    scores = cvae.score_samples(X)
    with pytest.raises(ValueError, match="beyond float32"):
        cvae.fit(X * 1e300, np.where(y == "elm", 1, 0))
    with pytest.raises(FloatingPointError):
        cvae.set_params(learning_rate_init=1e30).fit(X, np.where(y == "elm", 1, 0))
    assert cvae.classes_.tolist() == ["ash", "elm", "oak"]
    assert np.array_equal(cvae.score_samples(X), scores)


# ---- the estimator -----------------------------------------------------------------------------------------


def test_random_state_early_stopping_and_copies(clusters):
    X, y = clusters
    fitted = quick(early_stopping=True).fit(X, y)
    again = clone(fitted).fit(X, y)
    scores = fitted.score_samples(X)
    assert np.array_equal(again.score_samples(X), scores)
    np.testing.assert_allclose(fitted.score_samples(X[3:5]), scores[3:5], rtol=1e-5)
    assert fitted.best_epoch_ == np.argmin(fitted.validation_loss_curve_) + 1
    for twin in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(twin.score_samples(X), scores)
        assert np.array_equal(twin.sample(3)[0], fitted.sample(3)[0])
    X_drawn, y_drawn = fitted.set_params(random_state=None).sample(200)
    assert not np.array_equal(fitted.sample(200)[0], X_drawn)
    assert set(y_drawn) == {"ash", "elm", "oak"}


@pytest.mark.parametrize("network", [ConvNetwork((1, 8, 8), channels=(8, 4)), LSTMNetwork((8, 8), hidden_size=8)])
def test_images_and_sequences(network, digits):
    X, y = digits[:600], load_digits().target[:600]
    autoencoder = quick(4, network=network, max_iter=3).fit(X, y)
    assert autoencoder.loss_curve_[-1] < autoencoder.loss_curve_[0]
    Z = autoencoder.transform(X)
    with torch.no_grad():
        np.testing.assert_allclose(autoencoder.encoder_(torch.tensor(X)), Z, rtol=1e-4, atol=1e-5)
    assert autoencoder.sample(5)[0].shape == (5, 64)


def own_network(n_features, n_components):
    encoder = nn.Sequential(nn.Linear(n_features, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, n_components))
    return encoder, nn.Linear(n_components, n_features)


NETWORKS = [DenseNetwork((8,), "tanh", dropout=0.1, normalization="batch"), own_network]


@pytest.mark.parametrize("network", NETWORKS)
def test_any_network_in_a_search_by_accuracy(network, clusters):
    X, y = clusters
    pipeline = make_pipeline(quick(network=network, max_iter=30, learning_rate_init=2e-2))
    grid = {"conditionalvariationalautoencoder__classification_weight": [0.0, 1.0]}
    search = GridSearchCV(pipeline, grid, scoring="accuracy", cv=2).fit(X, y)
    assert search.best_params_ == {"conditionalvariationalautoencoder__classification_weight": 1.0}
    assert search.best_score_ > 0.9


def test_under_the_detector(plane):
    detector = AutoEncoderOutlierDetector(quick(max_iter=60, learning_rate_init=2e-2), novelty=True).fit(plane)
    assert (detector.predict(plane) == 1).mean() > 0.95
    off = np.linalg.svd(plane)[2][-1]  # the direction that the plane does not span
    assert (detector.predict(plane + 5 * off) == -1).all()


def test_torchs_defaults_have_no_part(plane):
    def fit():
        fitted = quick(max_iter=2).fit(plane, np.arange(200) % 3 - 1)
        return np.r_[fitted.score_samples(plane), fitted.sample(3)[0].ravel()]

    expected = fit()
    with torch.device("meta"):
        np.testing.assert_allclose(fit(), expected, rtol=1e-6)
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_allclose(fit(), expected, rtol=1e-6)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"network": DenseNetwork((8,), tied_weights=True)}, None, "shares weights .* tied_weights=False"),
        ({"network": DenseNetwork((8,), code_activation="relu")}, None, "code_activation='relu' of network must be"),
        ({"classification_weight": -1.0}, None, "'classification_weight' parameter"),
        ({"beta": -1.0}, None, "'beta' parameter"),
        ({"bound": "iwae"}, None, "'bound' parameter"),
        ({"n_draws": 0}, None, "'n_draws' parameter"),
        ({}, np.linspace(0, 1, 200), "Unknown label type: continuous"),
        ({}, np.zeros((200, 2)), "y should be a 1d array"),
        ({}, np.zeros(199), "inconsistent numbers of samples"),
    ],
)
def test_bad_input(parameters, y, message, plane, monkeypatch):
    monkeypatch.setattr("skae.estimators.base.train", lambda *args, **kwargs: pytest.fail("training began"))
    cvae = quick(**parameters)
    with pytest.raises(ValueError, match=message):
        cvae.fit(plane, y)
    assert not hasattr(cvae, "classes_")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cvae: cvae.sample(2, y="fir"), r"y holds \['fir'\], which are not among classes_=\['ash'"),
        (lambda cvae: cvae.sample(2, y=["elm"]), "y holds 1 classes for 2 rows: give one class, or one a row"),
        (lambda cvae: cvae.sample(0), "'n_samples' parameter of sample"),
        (lambda cvae: cvae.inverse_transform(np.zeros((2, 3))), r"Z has 3 columns; .* n_components=2"),
        (lambda cvae: cvae.inverse_transform(np.zeros((2, 2)), ["elm"] * 3), "y holds 3 classes for 2 rows"),
    ],
)
def test_bad_classes_and_codes(call, message, clusters):
    with pytest.raises(ValueError, match=message):
        call(quick(max_iter=1).fit(*clusters))
