import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from skae import AutoEncoderOutlierDetector
from skae.estimators.greedy import GreedyPretraining
from skae.estimators.stacked_classifier import StackedAutoEncoderClassifier
from skae.interfaces import Batch
from skae.networks import DenseNetwork
from skae.objectives.classification import ClassificationObjective
from skae.random import RandomStreams


def quick(n_components=16, **parameters):
    return StackedAutoEncoderClassifier(
        n_components,
        **{
            "hidden_layer_sizes": (32,),
            "pretrain_max_iter": 3,
            "max_iter": 10,
            "random_state": 0,
            "device": "cpu",
            **parameters,
        },
    )


@pytest.fixture(scope="module")
def classes():
    """Digits, their classes, and their classes where one in ten is known."""
    X, y = load_digits(return_X_y=True)
    known = np.random.default_rng(0).uniform(size=len(y)) < 0.1
    return (X / 16).astype(np.float32), y, np.where(known, y, -1)


def encoder_weights(classifier):
    return torch.cat([p.detach().reshape(-1) for p in classifier.encoder_.parameters()])


# ---- the science -------------------------------------------------------------------------------------------


def test_the_loss_is_the_negative_log_likelihood_of_each_class():
    logits = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1, 2, 0, 1], [2, 2, 1, 0, 0]])
    objective = ClassificationObjective(lambda x, random: x)
    losses = objective.row_losses(Batch(logits, logits, labels), RandomStreams([0, 1]))
    expected = logits.exp().sum(-1).log() - (logits * F.one_hot(labels, 3)).sum(-1)
    torch.testing.assert_close(losses, expected)


def test_it_learns_to_classify(classes):
    X, y, _ = classes
    fitted = quick().fit(X[:1200], y[:1200])
    assert quick(max_iter=1, learning_rate_init=1e-9).fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) < 0.3
    assert fitted.score(X[1200:], y[1200:]) > 0.9
    assert fitted.score(X, y) == np.mean(fitted.predict(X) == y)  # accuracy, not a reconstruction error


def test_probabilities_are_the_softmax_of_the_network(classes):
    X, y, _ = classes
    fitted = quick(max_iter=2).fit(X, y)
    probabilities = fitted.predict_proba(X)
    assert (probabilities.shape, probabilities.dtype) == ((len(X), 10), np.float64)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    assert np.array_equal(fitted.classes_[probabilities.argmax(1)], fitted.predict(X))
    with torch.no_grad():
        codes = fitted.encoder_(torch.from_numpy(X))
    np.testing.assert_allclose(codes, fitted.transform(X), rtol=1e-4, atol=1e-5)


def test_the_loss_curve_is_the_mean_negative_log_likelihood(classes):
    X, y, _ = classes
    still = quick(pretrain_max_iter=0, max_iter=1, learning_rate_init=1e-12).fit(X, y)
    expected = -np.log(still.predict_proba(X)[np.arange(len(y)), y]).mean()
    assert still.loss_curve_[0] == pytest.approx(expected, rel=1e-4)


def test_rows_without_a_class_only_pre_train(classes):
    X, _, partly = classes
    labelled = partly != -1
    # in another order they keep the mean and the scale of all rows
    reordered = X.copy()
    reordered[~labelled] = X[~labelled][::-1]
    without = quick(pretrain_max_iter=0, max_iter=2).fit(X, partly)
    np.testing.assert_allclose(
        quick(pretrain_max_iter=0, max_iter=2).fit(reordered, partly).predict_proba(X),
        without.predict_proba(X),
        rtol=1e-4,
    )
    with_them = quick(max_iter=2).fit(X, partly)
    assert not encoder_weights(quick(max_iter=2).fit(reordered, partly)).equal(encoder_weights(with_them))
    assert [len(curve) for curve in with_them.pretraining_loss_curves_] == [3, 3]
    assert all(curve[-1] < curve[0] for curve in with_them.pretraining_loss_curves_)
    assert without.pretraining_loss_curves_ == []


def test_fine_tuning_starts_from_the_pre_trained_layers(classes, monkeypatch):
    X, _, partly = classes
    pretrain, pretrained = GreedyPretraining._pretrain, []

    def remember(self, network, *args):
        pretrain(self, network, *args)
        pretrained.append(torch.cat([p.detach().reshape(-1).clone() for p in network.encoder.parameters()]))

    monkeypatch.setattr(GreedyPretraining, "_pretrain", remember)
    still = quick(max_iter=1, batch_size=4000, learning_rate="constant", learning_rate_init=1e-3).fit(X, partly)
    random = quick(max_iter=1, batch_size=4000, learning_rate_init=1e-3, pretrain_max_iter=0).fit(X, partly)
    after_one_step = encoder_weights(still)
    # Adam's first step is at most the step size
    torch.testing.assert_close(after_one_step, pretrained[0], rtol=0, atol=1.001e-3)
    assert (after_one_step - encoder_weights(random)).abs().max() > 2.1e-3


def test_pre_training_beats_random_weights_where_labels_are_few(shared_data):
    data = shared_data("mnist")
    X = (data["x_train"][:3000].reshape(-1, 784) / 255).astype(np.float32)
    y = data["y_train"][:3000].astype(int)
    partly = np.where(np.arange(len(y)) < 300, y, -1)
    settings = {"hidden_layer_sizes": (256,), "learning_rate_init": 1e-3, "max_iter": 20, "random_state": 0}
    pretrained = StackedAutoEncoderClassifier(256, pretrain_max_iter=5, **settings).fit(X, partly)
    random = StackedAutoEncoderClassifier(256, pretrain_max_iter=0, **settings).fit(X, partly)
    assert pretrained.score(X[300:], y[300:]) > random.score(X[300:], y[300:]) + 0.01


# ---- classes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["object", "string"])
def test_classes_may_be_strings(kind, classes):
    X, _, partly = classes
    names = np.array([f"digit {c}" for c in range(10)])
    if kind == "object":
        named = np.array([names[c] if c >= 0 else -1 for c in partly], dtype=object)
    else:
        named = np.where(partly >= 0, names[partly], "-1")
    numbers, strings = quick().fit(X, partly), quick().fit(X, named)
    assert strings.classes_.tolist() == names.tolist()
    assert np.array_equal(strings.predict(X), names[numbers.predict(X)])


def test_minus_one_and_one_alone_are_two_classes(classes):
    X, y, _ = classes
    signs = np.where(y < 5, -1, 1)
    fitted = quick().fit(X, signs)
    assert fitted.classes_.tolist() == [-1, 1]
    assert fitted.score(X, signs) > 0.9
    other_codes = quick().fit(X, np.where(y < 5, 0, 1))
    assert np.array_equal(other_codes.predict(X) == 1, fitted.predict(X) == 1)


def test_a_single_class_is_predicted_always(classes):
    X, _, _ = classes
    fitted = quick(max_iter=1).fit(X, np.full(len(X), 3))
    assert set(fitted.predict(X)) == {3}


def test_partial_fit_takes_classes_that_come_later(classes):
    X, y, _ = classes
    low, high = y < 5, y >= 5
    fitted = quick(learning_rate_init=1e-2).partial_fit(X[low], y[low], classes=np.arange(10))
    for _ in range(8):
        fitted.partial_fit(X[high], y[high]).partial_fit(X, y)
    assert fitted.n_iter_ == 17
    assert fitted.score(X, y) > 0.9
    with pytest.raises(ValueError, match=r"y has classes \[11\] that are not among classes_=\[0, 1, 2"):
        fitted.partial_fit(X, np.where(y == 3, 11, y))


def test_warm_start_keeps_the_classes_and_does_not_pre_train_again(classes):
    X, y, _ = classes
    fitted = quick(warm_start=True, max_iter=2).fit(X, y)
    curves = fitted.pretraining_loss_curves_
    fitted.fit(X[y < 3], y[y < 3])
    assert fitted.n_iter_ == 4
    assert len(fitted.classes_) == 10
    assert fitted.pretraining_loss_curves_ is curves
    fitted.set_params(warm_start=False).fit(X[y < 3], y[y < 3])
    assert fitted.classes_.tolist() == [0, 1, 2]


# ---- ways to train -----------------------------------------------------------------------------------------


def test_early_stopping_watches_the_held_out_likelihood(classes):
    X, _, partly = classes
    fitted = quick(early_stopping=True, max_iter=60, n_iter_no_change=3, tol=1e-2).fit(X, partly)
    curve = fitted.validation_loss_curve_
    assert len(curve) == fitted.n_iter_ < 60
    assert fitted.best_epoch_ == np.argmin(curve) + 1


def test_the_unit_of_the_rows_does_not_matter(classes):
    X, _, partly = classes
    expected = quick(corruption=None).fit(X.astype(float), partly).score(X, partly)
    for unit in (1e-12, 1e6):
        scaled = X.astype(float) * unit
        assert quick(corruption=None).fit(scaled, partly).score(scaled, partly) == pytest.approx(expected, abs=0.03)


def test_the_same_random_state_gives_the_same_classifier_to_the_bit(classes):
    X, _, partly = classes
    first, second = (quick(max_iter=2).fit(X, partly) for _ in range(2))
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    other = quick(max_iter=2, random_state=1).fit(X, partly)
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))


def test_pickle_and_pipeline(classes):
    X, _, partly = classes
    pipeline = make_pipeline(StandardScaler(), quick()).fit(X, partly)
    assert np.array_equal(pickle.loads(pickle.dumps(pipeline)).predict_proba(X), pipeline.predict_proba(X))
    assert pipeline[:-1].transform(X).shape == X.shape
    assert pipeline[-1].get_feature_names_out()[0] == "stackedautoencoderclassifier0"


# ---- errors ------------------------------------------------------------------------------------------------


def convolution_like(n_features, n_components):
    return torch.nn.Linear(n_features, n_components), torch.nn.Linear(n_components, n_features)


@pytest.mark.parametrize(
    ("parameters", "labels", "message"),
    [
        ({}, lambda y: None, "requires y to be passed, but the target y is None"),
        ({}, lambda y: np.full(len(y), -1), "y labels every row -1, unknown: some rows must have a class"),
        ({}, lambda y: y[1:], "inconsistent numbers of samples"),
        ({}, lambda y: np.where(y == 3, np.nan, y), "Input y contains NaN"),
        ({}, lambda y: y + 0.5, "Unknown label type: continuous"),
        (
            {"network": convolution_like},
            None,
            "'network' parameter of StackedAutoEncoderClassifier must be an instance",
        ),
        ({"noise_level": 1.2}, None, r"noise_level=1.2 must be in \[0, 1\] with corruption='masking'"),
        ({"pretrain_max_iter": -1}, None, "'pretrain_max_iter' parameter"),
        ({"corruption": "blur"}, None, "'corruption' parameter"),
    ],
)
def test_bad_input_is_named_before_training(parameters, labels, message, classes, monkeypatch):
    for module in ("base", "greedy"):
        monkeypatch.setattr(f"skae.estimators.{module}.train", lambda *a, **k: pytest.fail("training began"))
    X, y, _ = classes
    classifier = quick(**parameters)
    with pytest.raises(ValueError, match=message):
        classifier.fit(X, y if labels is None else labels(y))
    assert not hasattr(classifier, "classes_")
    assert not hasattr(classifier, "n_features_in_")


@pytest.mark.parametrize("broken", ["greedy", "base"])
def test_a_failed_fit_keeps_the_earlier_state(broken, classes, monkeypatch):
    X, y, partly = classes
    fitted = quick(max_iter=2).fit(X, partly)
    probabilities, curves = fitted.predict_proba(X), fitted.pretraining_loss_curves_

    def diverge(*args, **kwargs):
        raise FloatingPointError("diverged")

    monkeypatch.setattr(f"skae.estimators.{broken}.train", diverge)
    with pytest.raises(FloatingPointError) as caught:
        fitted.fit(X[y < 3], y[y < 3])
    assert "left as it was" in caught.value.__notes__[-1]
    assert fitted.pretraining_loss_curves_ is curves
    assert len(fitted.classes_) == 10
    assert np.array_equal(fitted.predict_proba(X), probabilities)


def test_there_is_no_decoder(classes):
    X, y, _ = classes
    fitted = quick(max_iter=1).fit(X, y)
    for name in ("decoder_", "reconstruct", "inverse_transform", "score_samples", "feature_errors"):
        assert not hasattr(fitted, name)
    with pytest.raises(ValueError, match="'autoencoder' parameter"):
        AutoEncoderOutlierDetector(clone(fitted)).fit(X)


def test_a_network_specification(classes):
    X, _, partly = classes
    network = DenseNetwork((32,), "tanh", normalization="batch", dropout=0.2)
    fitted = quick(network=network).fit(X, partly)
    assert fitted.score(X[partly >= 0], partly[partly >= 0]) > 0.8
