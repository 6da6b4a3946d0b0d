import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import check_estimator

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder
from skae.contracts import RowSummary
from skae.networks import ConvNetwork
from skae.random import RandomStreams


class AnyWidth(ConvNetwork):
    """Images of one row of pixels, as many as there are features."""

    def build(self, rows, n_components, random, logits):
        network = ConvNetwork((1, 1, rows.n_features), channels=(2,))
        return network.build(rows, n_components, random, logits)


def build(n_components=3, logits=False, seed=0, **parameters):
    n_features = int(np.prod(parameters.get("image_shape", (1, 28, 28))))
    rows = RowSummary(torch.zeros(n_features), 1.0)
    return ConvNetwork(**parameters).build(rows, n_components, RandomStreams([seed]), logits)


@given(
    image_shape=st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13)),
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    kernel_size=st.sampled_from([1, 3, 5]),
    down=st.sampled_from(["stride", "pool"]),
    up=st.sampled_from(["transpose", "upsample"]),
)
@settings(max_examples=60)
def test_any_image_comes_back_in_its_shape(**parameters):
    network = build(**parameters)
    n_features = int(np.prod(parameters["image_shape"]))
    x = torch.rand(2, n_features)
    assert network.encoder(x).shape == (2, 3)
    assert network(x[None]).shape == (1, 2, n_features)


def test_weights_come_from_the_streams_alone():
    before = torch.get_rng_state()
    first, second, other = build(), build(), build(seed=1)
    assert torch.get_rng_state().equal(before)
    parameters = zip(first.parameters(), second.parameters(), other.parameters(), strict=True)
    assert all(a.equal(b) and (a.ndim == 1 or not a.equal(c)) for a, b, c in parameters)


def test_the_encoder_sees_an_image_and_not_a_row():
    # a shift by two pixels moves the feature map of one level by one
    encoder = build(image_shape=(1, 8, 8), channels=(4,)).encoder
    level = encoder[:4]  # centring, folding, convolution, activation
    image = torch.zeros(1, 8, 8)
    image[0, 2, 3] = 1.0
    moved = image.roll(2, dims=1)
    torch.testing.assert_close(level(image.flatten(1)).roll(1, dims=2), level(moved.flatten(1)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_shape": (1, 8, 7)}, r"image_shape=\(1, 8, 7\) must be .* with a product of 64"),
        ({"image_shape": (8, 8)}, r"image_shape=\(8, 8\) must be \(n_channels, height, width\)"),
        ({"channels": ()}, r"channels=\(\) must hold integers >= 1"),
        ({"channels": (4, 0)}, "must hold integers >= 1"),
        ({"kernel_size": 2}, "kernel_size=2 must be odd"),
        ({"down": "mean"}, "'down' parameter of ConvNetwork"),
    ],
)
def test_bad_specifications(parameters, message, digits):
    network = ConvNetwork(**{"image_shape": (1, 8, 8), **parameters})
    with pytest.raises(ValueError, match=message):
        AutoEncoderTransformer(2, network=network).fit(digits)


def test_a_stack_of_several_is_refused():
    with pytest.raises(ValueError, match="ConvNetwork builds one network at a time"):
        ConvNetwork().build(RowSummary(torch.zeros(784), 1.0), 2, RandomStreams([0, 1]), False)


@pytest.mark.parametrize("kind", [AutoEncoderTransformer, DenoisingAutoEncoder])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_it_learns_digits_and_scores_under_the_detector(kind, loss, digits):
    network = ConvNetwork((1, 8, 8), channels=(8, 16))
    autoencoder = kind(8, network=network, loss=loss, max_iter=15, early_stopping=True, random_state=0).fit(digits)
    error = np.mean((autoencoder.reconstruct(digits) - digits) ** 2)
    assert error < 0.4 * digits.var(0).mean()
    assert AutoEncoderOutlierDetector(autoencoder).fit(digits[:300]).predict(digits).shape == (len(digits),)


def test_estimator_checks():
    check_estimator(AutoEncoderTransformer(2, network=AnyWidth(), max_iter=3))
