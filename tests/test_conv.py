import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from other_processor import rows_alike
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder
from skae.interfaces import RowSummary
from skae.networks import ConvNetwork, DenseNetwork
from skae.random import RandomStreams


class AnyWidth(ConvNetwork):
    """Images of one row of pixels, as many as there are features."""

    def build(self, rows, n_components, random, logits):
        one_pixel = rows.n_features == 1  # that has no levels
        network = DenseNetwork(()) if one_pixel else ConvNetwork((1, 1, rows.n_features), channels=(2,))
        return network.build(rows, n_components, random, logits)


def build(n_components=3, logits=False, seed=0, **parameters):
    n_features = int(np.prod(parameters.get("image_shape", (1, 28, 28))))
    rows = RowSummary(torch.zeros(n_features), 1.0)
    return ConvNetwork(**parameters).build(rows, n_components, RandomStreams([seed]), logits)


@given(
    image_shape=st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(5, 13)),
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    kernel_size=st.sampled_from([3, 5]),
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


@pytest.mark.parametrize("up", ["transpose", "upsample"])
def test_the_decoder_draws_an_image(up):
    # a feature that is moved by one pixel is drawn two pixels further on
    decoder = build(image_shape=(1, 16, 16), channels=(4,), up=up).decoder
    draw = decoder[3:-2]  # all behind the linear layer, its activation and the fold; without the unfolding and the unit
    feature = torch.zeros(1, 4, 8, 8)
    feature[0, :, 3, 3] = torch.arange(4.0)
    drawn = draw(feature)
    assert drawn.shape == (1, 1, 16, 16)
    torch.testing.assert_close(drawn.roll(2, dims=3), draw(feature.roll(1, dims=3)))


@pytest.mark.parametrize(("down", "up"), [("stride", "transpose"), ("pool", "upsample")])
def test_the_location_and_unit_of_rows_do_not_matter(down, up):
    parameters = {"image_shape": (1, 5, 7), "channels": (2, 3), "down": down, "up": up}
    mean = torch.arange(35.0)
    moved = ConvNetwork(**parameters).build(RowSummary(mean, 4.0), 3, RandomStreams([0]), False)
    x = torch.randn(1, 6, 35, generator=torch.Generator().manual_seed(0))
    standard, logits = build(**parameters), build(**parameters, logits=True)
    torch.testing.assert_close(moved(mean + 4 * x), mean + 4 * standard(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(x), standard(x))


def test_logits_are_left_alone():
    rows = RowSummary(torch.full((64,), 0.5), 0.1)
    network = ConvNetwork((1, 8, 8), (2,)).build(rows, 3, RandomStreams([0]), True)
    z = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network.decode(z), build(image_shape=(1, 8, 8), channels=(2,)).decode(z))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"image_shape": (1, 8, 7)},
            r"image_shape=\(1, 8, 7\) holds 56 values, but X has 64 features: .* must multiply",
        ),
        (
            {"image_shape": (8, 8)},
            r"image_shape=\(8, 8\) must be \(n_channels, height, width\), for example \(1, 28, 28\)",
        ),
        ({"image_shape": (1, -8, -8)}, r"image_shape=\(1, -8, -8\) must hold integers >= 1"),
        ({"image_shape": (1, 8.0, 8)}, r"image_shape=\(1, 8.0, 8\) must hold integers >= 1"),
        ({"image_shape": 64}, "'image_shape' parameter of ConvNetwork must be an array-like"),
        ({"channels": ()}, r"channels=\(\) must hold integers >= 1, for example \(16, 32\)"),
        ({"channels": (4, 0)}, "must hold integers >= 1"),
        ({"channels": (4,) * 4}, "makes 4 levels, but an image of 8 x 8 can be halved 3 times only"),
        ({"kernel_size": 4}, "kernel_size=4 must be odd"),
        ({"kernel_size": 1}, "'kernel_size' parameter of ConvNetwork must be an int in the range"),
        ({"down": "mean"}, "'down' parameter of ConvNetwork"),
        ({"up": "bilinear"}, "'up' parameter of ConvNetwork"),
        ({"activation": "sine"}, "'activation' parameter of ConvNetwork"),
    ],
)
def test_bad_specifications(parameters, message, digits):
    network = ConvNetwork(**{"image_shape": (1, 8, 8), **parameters})
    with pytest.raises(ValueError, match=message):
        AutoEncoderTransformer(2, network=network).fit(digits)


def test_a_batch_of_several_is_refused():
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


def test_copies_are_the_same_to_the_bit_and_global_generators_stay(digits):
    def fit():
        network = ConvNetwork((1, 8, 8), channels=(4, 8), down="pool", up="upsample")
        return AutoEncoderTransformer(4, network=network, max_iter=2, random_state=0).fit(digits)

    before = torch.get_rng_state()
    fitted = fit()
    assert torch.get_rng_state().equal(before)
    expected = fitted.reconstruct(digits)
    for same in (fit(), copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(same.reconstruct(digits), expected)
    np.testing.assert_allclose(fitted.reconstruct(digits[5:6]), expected[5:6], rtol=1e-5, atol=1e-6)


def test_its_parameters_can_be_searched(digits):
    autoencoder = AutoEncoderTransformer(2, network=ConvNetwork((1, 8, 8), channels=(2,)), max_iter=1, random_state=0)
    search = GridSearchCV(autoencoder, {"network__channels": [(2,), (2, 4)]}, cv=2).fit(digits[:100])
    assert set(map(len, search.cv_results_["param_network__channels"])) == {1, 2}


def test_estimator_checks():
    with rows_alike():
        check_estimator(AutoEncoderTransformer(2, network=AnyWidth(), max_iter=3))
