"""Displays of rows and their reconstructions: images and explanations."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from plotting_cases import N_FEATURES, X, drawn, make_autoencoder, pyplot_without_windows, row_labels

from skae import AutoEncoderOutlierDetector, VariationalAutoEncoder
from skae.plotting import ExplanationDisplay, ManifoldDisplay, ReconstructionDisplay

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def pyplot():
    yield from pyplot_without_windows()


@pytest.fixture(scope="module")
def autoencoder():
    return make_autoencoder(early_stopping=True).fit(X)


@pytest.fixture(scope="module")
def detector():
    return AutoEncoderOutlierDetector(make_autoencoder(2), contamination=0.1).fit(X)


# ---- images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_shape", [(3, 4), (1, 3, 4)])
def test_grey_images_are_above_their_reconstructions(autoencoder, image_shape):
    display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=image_shape, n_images=5)

    originals, reconstructions = drawn(display)
    assert_array_equal(originals, X[:5].reshape(5, 3, 4))
    assert_array_equal(reconstructions, autoencoder.reconstruct(X[:5]).reshape(5, 3, 4))
    assert {image.get_clim() for image in display.images_.flat} == {(X[:5].min(), X[:5].max())}
    assert row_labels(display) == ["original", "reconstruction"]


def test_noisy_images_are_between_the_originals_and_their_reconstructions(autoencoder):
    X_noisy = X + 1
    display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(3, 4), X_noisy=X_noisy, n_images=5)

    originals, noisy, reconstructions = drawn(display)
    assert_array_equal(noisy, X_noisy[:5].reshape(5, 3, 4))
    assert_array_equal(originals, X[:5].reshape(5, 3, 4))
    assert_array_equal(reconstructions, autoencoder.reconstruct(X_noisy[:5]).reshape(5, 3, 4))
    assert row_labels(display) == ["original", "noisy input", "reconstruction"]


def test_more_than_ten_images_are_wrapped(autoencoder):
    display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(3, 4), n_images=13)

    originals, reconstructions = drawn(display)
    assert_array_equal(originals, X[:13].reshape(13, 3, 4))
    assert_array_equal(reconstructions, autoencoder.reconstruct(X[:13]).reshape(13, 3, 4))
    corners = np.array([[(image.get_extent()[0], image.get_extent()[3]) for image in row] for row in display.images_])
    lefts, tops = corners[..., 0], corners[..., 1]
    assert_array_equal(lefts[:, 10:], lefts[:, :3])
    assert len(np.unique(lefts)) == 10
    rows = [tops[0, 0], tops[1, 0], tops[0, 10], tops[1, 10]]  # each reconstruction is below its original
    assert (np.diff(rows) >= 3).all()
    assert row_labels(display) == ["original", "reconstruction"] * 2


def test_reconstructions_may_be_given(autoencoder):
    options = {"image_shape": (3, 4), "X_noisy": X + 1, "n_images": 4}
    display = ReconstructionDisplay.from_predictions(X, autoencoder.reconstruct(X + 1), **options)
    assert_array_equal(drawn(display), drawn(ReconstructionDisplay.from_estimator(autoencoder, X, **options)))
    with pytest.raises(
        ValueError, match=r"reconstructions has shape \(5, 12\), but must have the shape of X, \(60, 12\)"
    ):
        ReconstructionDisplay.from_predictions(X, X[:5], image_shape=(3, 4))


def test_colour_images_have_channels_last_and_the_scale_of_the_originals(autoencoder):
    display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(3, 2, 2))

    low, high = X[:10].min(), X[:10].max()
    scaled = (X[:10].reshape(10, 3, 2, 2).transpose(0, 2, 3, 1) - low) / (high - low)
    np.testing.assert_allclose(drawn(display)[0], scaled)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (3, 5)}, r"image_shape=\(3, 5\).*12"),
        ({"image_shape": (12,)}, r"image_shape=\(12,\) must be \(height, width\), for example \(28, 28\)"),
        (
            {"image_shape": (3, 2, 3)},
            r"image_shape=\(3, 2, 3\) holds 18 values, but X has 12 .*\(channels, height, width\)",
        ),
        ({"image_shape": (2, 2, 3)}, r"image_shape=\(2, 2, 3\) has 2 channels"),
        (
            {"image_shape": (3, 4), "X_noisy": np.zeros((5, N_FEATURES))},
            r"X_noisy has shape \(5, 12\), but must have the shape of X, \(60, 12\)",
        ),
        ({"image_shape": (3, 4), "n_images": 0}, "n_images=0 must be 1 or more"),
    ],
)
def test_invalid_images(autoencoder, pyplot, options, message):
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_estimator(autoencoder, X, **options)
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("image_shape", [(3, 4), (3, 2, 2)])
def test_norm_replaces_the_limits_of_images(detector, image_shape):
    norm = {"norm": matplotlib.colors.PowerNorm(0.5, 0, 2)}
    images = [
        *ReconstructionDisplay.from_estimator(detector, X, image_shape=image_shape, image_kw=norm).images_.flat,
        ManifoldDisplay.from_estimator(detector, X, image_shape=image_shape, image_kw=norm).image_,
        ExplanationDisplay.from_estimator(detector, X[0], image_shape=image_shape, error_kw=norm).image_,
    ]
    assert {image.get_clim() for image in images} == {(0, 2)}


# ---- explanations --------------------------------------------------------------------------------------------


def test_bars_are_the_largest_contributions_and_sum_to_the_error(detector):
    display = ExplanationDisplay.from_estimator(detector, X[3], max_features=4)

    contributions = detector.explain(X[3:4]).iloc[0].sort_values(ascending=False)
    widths = [bar.get_width() for bar in display.bars_]
    assert row_labels(display) == [*contributions.index[:4], "8 others"]
    np.testing.assert_allclose(widths, [*contributions[:4], contributions[4:].sum()])
    assert sum(widths) == pytest.approx(-detector.score_samples(X[3:4])[0])
    assert display.ax_.yaxis.get_inverted()
    largest = int(contributions.index[0][1:])
    assert display.ax_.texts[0].get_text() == (
        f"{X[3, largest]:.4g} instead of {detector.reconstruct(X[3:4])[0, largest]:.4g}"
    )


@pytest.mark.parametrize(("max_features", "last"), [(11, "1 other"), (12, None), (100, None)])
def test_other_features_share_a_bar(detector, max_features, last):
    labels = row_labels(ExplanationDisplay.from_estimator(detector, X[:1], max_features=max_features))
    assert len(labels) == N_FEATURES
    assert last is None or labels[-1] == last


@pytest.mark.filterwarnings("error")
def test_bars_have_the_column_names_of_a_frame():
    named = pd.DataFrame(X).add_prefix("column ")
    detector = AutoEncoderOutlierDetector(make_autoencoder(2)).fit(named)
    displays = [ExplanationDisplay.from_estimator(detector, x) for x in (named.iloc[3], named.iloc[[3]])]

    assert row_labels(displays[0]) == row_labels(displays[1])
    assert all(label.startswith("column ") for label in row_labels(displays[0])[:-1])
    assert_array_equal(displays[0].contributions, displays[1].contributions)


def test_negative_contributions_are_bars_to_the_left():
    detector = AutoEncoderOutlierDetector(make_autoencoder(2), error="whitened").fit(X)
    i = detector.explain(X).min(axis=1).argmin()
    display = ExplanationDisplay.from_estimator(detector, X[i], max_features=12)

    assert display.bars_[-1].get_width() < 0
    image = ExplanationDisplay.from_estimator(detector, X[i], image_shape=(3, 4)).image_
    assert image.norm.vmin == -image.norm.vmax


@pytest.mark.parametrize("image_shape", [(3, 4), (1, 3, 4), (3, 2, 2)])
def test_image_is_explained_by_the_error_of_its_pixels(detector, image_shape):
    display = ExplanationDisplay.from_estimator(detector, X[3], image_shape=image_shape)

    *pictures, error, bar = display.ax_.images
    contributions = detector.explain(X[3:4]).to_numpy().reshape(-1, *image_shape[-2:]).sum(0)
    assert error is display.image_
    np.testing.assert_allclose(error.get_array(), contributions)
    assert error.get_clim() == (0, error.get_array().max())
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == ["input", "reconstruction", "error"]
    assert [text.get_text() for text in display.ax_.texts] == [f"{contributions.max():.2g}", "0"]
    assert (bar.norm, bar.get_cmap()) == (error.norm, error.get_cmap())
    if len(image_shape) == 2:
        for picture, row in zip(pictures, (X[3], detector.reconstruct(X[3:4])[0]), strict=True):
            assert_array_equal(picture.get_array(), row.reshape(image_shape))


@pytest.mark.parametrize("n_channels", [1, 2])
def test_sequence_is_explained_by_the_error_of_its_steps(detector, n_channels):
    shape = (N_FEATURES // n_channels, n_channels)
    display = ExplanationDisplay.from_estimator(detector, X[3], sequence_shape=shape)

    contributions = detector.explain(X[3:4]).to_numpy().reshape(shape).sum(1)
    corners = display.area_.get_paths()[0].vertices
    for step, error in enumerate(contributions):
        assert corners[corners[:, 0] == step, 1].max() == pytest.approx(error)
    curves = [line.get_ydata() for line in display.ax_.lines]
    assert_array_equal(curves, [*X[3].reshape(shape).T, *detector.reconstruct(X[3:4]).reshape(shape).T])
    (below,) = display.ax_.child_axes
    lowest = min(curve.min() for curve in curves)
    above = display.ax_.transData.transform((0, lowest))[1]
    assert above > below.transData.transform((0, contributions.max()))[1], "the curves cross"


@pytest.mark.parametrize("shape", [{}, {"image_shape": (3, 4)}, {"sequence_shape": (12, 1)}])
def test_title_of_an_explanation_says_whether_the_row_is_an_outlier(detector, shape):
    labels = detector.predict(X)
    for label, kind in ((1, "(inlier)\nthreshold"), (-1, "(outlier)\nthreshold")):
        row = X[labels == label][0]
        assert kind in ExplanationDisplay.from_estimator(detector, row, **shape).ax_.get_title()


@pytest.mark.parametrize("shape", [{}, {"image_shape": (3, 4)}, {"sequence_shape": (12, 1)}])
def test_row_without_error_is_drawn(shape, pyplot):
    nothing = np.zeros(N_FEATURES)
    display = ExplanationDisplay(
        x=nothing, reconstruction=nothing, contributions=nothing, names=range(12), error=0.0, threshold=1.0, **shape
    ).plot()
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_features": 0}, "max_features=0 must be 1 or more"),
        ({"image_shape": (3, 5)}, r"image_shape=\(3, 5\).*12"),
        ({"sequence_shape": (5, 2)}, r"sequence_shape=\(5, 2\).*12 features"),
        ({"sequence_shape": (12,)}, r"sequence_shape=\(12,\).*n_steps, n_channels"),
        (
            {"image_shape": (3, 4), "sequence_shape": (12, 1)},
            r"image_shape=\(3, 4\) and sequence_shape=\(12, 1\) cannot",
        ),
    ],
)
def test_invalid_explanations(detector, pyplot, options, message):
    with pytest.raises(ValueError, match=message):
        ExplanationDisplay.from_estimator(detector, X[0], **options)
    with pytest.raises(ValueError, match=r"x must be one row, but has shape \(60, 12\)"):
        ExplanationDisplay.from_estimator(detector, X)
    assert not pyplot.get_fignums()


def test_explanation_needs_a_detector_with_an_error_per_feature(autoencoder):
    with pytest.raises(TypeError, match="AutoEncoderOutlierDetector"):
        ExplanationDisplay.from_estimator(autoencoder, X[0])
    variational = AutoEncoderOutlierDetector(make_autoencoder(2, VariationalAutoEncoder)).fit(X)
    with pytest.raises(ValueError, match="error='squared_error'"):
        ExplanationDisplay.from_estimator(variational, X[0])
