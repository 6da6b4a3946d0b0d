import numpy as np
import pytest
import torch

from skae import AutoEncoderTransformer, DenoisingAutoEncoder

NOISE = {"gaussian": 0.3, "masking": 0.3, "salt_and_pepper": 0.2, "swap": 0.2}


def corrupt(X, corruption, level, seed=0):
    """The corruptions once more, in NumPy."""
    rng = np.random.default_rng(seed)
    hit = rng.uniform(size=X.shape) < level
    if corruption == "gaussian":
        return X + rng.normal(scale=level, size=X.shape)
    if corruption == "masking":
        return np.where(hit, 0, X)
    if corruption == "salt_and_pepper":
        return np.where(hit, np.where(rng.uniform(size=X.shape) < 0.5, X.min(0), X.max(0)), X)
    return np.where(hit, rng.permuted(X, axis=0), X)


def quick(**parameters):
    return DenoisingAutoEncoder(
        16, **{"hidden_layer_sizes": (64,), "max_iter": 30, "random_state": 0, "device": "cpu", **parameters}
    )


@pytest.mark.parametrize(("corruption", "level"), NOISE.items())
def test_denoising_denoises_and_better_than_the_plain_autoencoder(corruption, level, digits):
    train, test = digits[:1400], digits[1400:]
    noisy = corrupt(test, corruption, level)
    cleaned = quick(corruption=corruption, noise_level=level).fit(train).predict(noisy)
    plain = AutoEncoderTransformer(16, hidden_layer_sizes=(64,), max_iter=30, random_state=0).fit(train)
    error = np.mean((cleaned - test) ** 2)
    assert error < 0.8 * np.mean((noisy - test) ** 2)
    assert error < 0.9 * np.mean((plain.reconstruct(noisy) - test) ** 2)


def test_a_callable_corruption(digits):
    def blot(x, generator):
        x[:, torch.randint(x.shape[1], (), generator=generator)] = 0.0
        return x

    before = digits.copy()
    fitted = quick(corruption=blot, max_iter=3).fit(digits)
    assert np.array_equal(digits, before)
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]


def test_clean_rows_as_target(digits):
    noisy = corrupt(digits, "gaussian", 0.3).astype(np.float32)
    fitted = quick().fit(noisy, digits)
    error = np.mean((fitted.predict(noisy) - digits) ** 2)
    assert error < 0.5 * np.mean((noisy - digits) ** 2)
    # what is given is already corrupted: the corruption parameter has no part in it
    assert np.array_equal(
        fitted.predict(noisy), quick(corruption="masking", noise_level=0.9).fit(noisy, digits).predict(noisy)
    )


def test_labels_are_ignored(digits):
    labels = np.arange(len(digits)) % 3
    with_labels, without = quick(max_iter=2).fit(digits, labels), quick(max_iter=2).fit(digits)
    assert np.array_equal(with_labels.transform(digits), without.transform(digits))


def test_early_stopping_watches_the_denoising_loss(digits):
    fitted = quick(early_stopping=True, noise_level=0.5, max_iter=4).fit(digits)
    clean = -fitted.score(digits)
    assert min(fitted.validation_loss_curve_) > 1.2 * clean


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"noise_level": -0.1}, "'noise_level' parameter of DenoisingAutoEncoder must be a float in the range"),
        (
            {"corruption": "masking", "noise_level": 1.2},
            r"noise_level=1.2 must be in \[0, 1\] with corruption='masking'",
        ),
        ({"noise_level": (0.5, 0.1)}, r"noise_level=\(0.5, 0.1\) with corruption='gaussian': give a number or"),
        ({"noise_level": (0.1,)}, r"a range \(low, high\) with 0 < low <= high"),
        ({"noise_level": [0.1, 0.5], "corruption": "swap"}, "with corruption='swap': give a number"),
        ({"corruption": "blur"}, "'corruption' parameter of DenoisingAutoEncoder must be"),
    ],
)
def test_bad_noise(parameters, message, digits):
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(digits)


def test_clean_rows_of_another_shape(digits):
    with pytest.raises(ValueError, match=r"y of shape \(1797, 63\) cannot be the clean rows of X"):
        quick().fit(digits, digits[:, 1:])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        quick().fit(digits, np.full(digits.shape, np.nan))


@pytest.mark.parametrize("corruption", [lambda x, g: x[:1], lambda x, g: x.numpy(), lambda x, g: None])
def test_a_corruption_that_returns_something_else(corruption, digits):
    with pytest.raises(ValueError, match=r"corruption must return a tensor of the batch's shape, \(\d+, 64\), got"):
        quick(corruption=corruption).fit(digits)
