"""The displays draw what the estimators say."""

import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    VariationalAutoEncoder,
)
from skae.plotting import (
    CodeDisplay,
    ErrorHistogramDisplay,
    ExplanationDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SignalDisplay,
)

matplotlib = pytest.importorskip("matplotlib")

N_ROWS, N_FEATURES = 60, 12


@pytest.fixture(autouse=True)
def pyplot():
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).uniform(size=(N_ROWS, N_FEATURES))


@pytest.fixture(scope="module")
def autoencoder(X):
    return make_autoencoder(early_stopping=True).fit(X)


@pytest.fixture(scope="module")
def detector(X):
    return AutoEncoderOutlierDetector(make_autoencoder(2), contamination=0.1).fit(X)


def make_autoencoder(n_components=3, kind=AutoEncoderTransformer, **parameters):
    return kind(n_components, hidden_layer_sizes=(8,), max_iter=4, random_state=0, **parameters)


# ---- images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_shape", [(3, 4), (1, 3, 4)])
def test_grey_images_are_the_rows_of_x_over_their_reconstructions(autoencoder, X, image_shape):
    display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=image_shape, n_images=5)

    originals, reconstructions = drawn(display)
    assert_array_equal(originals, X[:5].reshape(5, 3, 4))
    assert_array_equal(reconstructions, autoencoder.reconstruct(X[:5]).reshape(5, 3, 4))
    assert {image.get_clim() for image in display.images_.flat} == {(X[:5].min(), X[:5].max())}
    assert row_labels(display) == ["original", "reconstruction"]


def test_noisy_images_are_above_the_originals_and_are_what_is_reconstructed(autoencoder, X):
    X_noisy = X + 1
    display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(3, 4), X_noisy=X_noisy, n_images=5)

    noisy, originals, reconstructions = drawn(display)
    assert_array_equal(noisy, X_noisy[:5].reshape(5, 3, 4))
    assert_array_equal(originals, X[:5].reshape(5, 3, 4))
    assert_array_equal(reconstructions, autoencoder.reconstruct(X_noisy[:5]).reshape(5, 3, 4))
    assert row_labels(display) == ["noisy input", "original", "reconstruction"]


def test_colour_images_have_their_channels_last_and_the_originals_span_the_scale(autoencoder, X):
    display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(3, 2, 2))

    low, high = X[:10].min(), X[:10].max()
    scaled = (X[:10].reshape(10, 3, 2, 2).transpose(0, 2, 3, 1) - low) / (high - low)
    np.testing.assert_allclose(drawn(display)[0], scaled)


def drawn(display):
    return [np.stack([image.get_array() for image in row]) for row in display.images_]


def row_labels(display):
    return [label.get_text() for label in display.ax_.get_yticklabels()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (3, 5)}, r"image_shape=\(3, 5\).*12"),
        ({"image_shape": (12,)}, r"image_shape=\(12,\).*height, width"),
        ({"image_shape": (2, 2, 3)}, r"image_shape=\(2, 2, 3\) has 2 channels"),
        ({"image_shape": (3, 4), "X_noisy": np.zeros((5, N_FEATURES))}, r"X_noisy of shape \(5, 12\)"),
        ({"image_shape": (3, 4), "n_images": 0}, "n_images=0"),
    ],
)
def test_images_that_cannot_be_drawn(autoencoder, X, pyplot, options, message):
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_estimator(autoencoder, X, **options)
    assert not pyplot.get_fignums()


# ---- histogram of errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True])
def test_histogram_counts_the_errors_and_its_line_is_at_the_threshold(detector, X, log):
    display = ErrorHistogramDisplay.from_estimator(detector, X, log=log, bins=7)

    counts, _ = np.histogram(-detector.score_samples(X), display.bin_edges_)
    (bars,) = display.bars_
    assert_array_equal(bars.datavalues, counts)
    assert counts.sum() == N_ROWS
    assert_array_equal(display.line_.get_xdata(), detector.threshold_)
    assert display.ax_.get_xscale() == ("log" if log else "linear")
    assert legend(display) == [f"threshold {detector.threshold_:.3g}"]


def test_histogram_tells_inliers_from_outliers(detector, X):
    y = np.repeat([1, -1], [45, 15])
    display = ErrorHistogramDisplay.from_estimator(detector, X, y)

    errors = -detector.score_samples(X)
    for bars, sign in zip(display.bars_, [1, -1], strict=True):
        assert_array_equal(bars.datavalues, np.histogram(errors[y == sign], display.bin_edges_)[0])
    assert legend(display)[:2] == ["inliers", "outliers"]


@pytest.mark.parametrize(
    ("y", "message"),
    [(np.ones(5), "y has 5 labels for 60 rows"), (np.arange(N_ROWS) % 2, r"y has the labels \[0 1\].*np.where")],
)
def test_histogram_of_rows_with_wrong_labels(detector, X, y, message):
    with pytest.raises(ValueError, match=message):
        ErrorHistogramDisplay.from_estimator(detector, X, y)


@pytest.mark.parametrize(
    ("errors", "threshold", "what"), [([0.0, 1.0], 0.5, "lowest error"), ([1.0], 0.0, "threshold")]
)
def test_no_logarithm_of_zero(errors, threshold, what):
    display = ErrorHistogramDisplay(errors=np.array(errors), threshold=threshold)
    with pytest.raises(ValueError, match=f"log=True cannot show the {what}, 0"):
        display.plot(log=True)


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


# ---- signals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, slice(0, 1)])
def test_curves_are_the_row_and_its_reconstruction(autoencoder, X, rows):
    display = SignalDisplay.from_estimator(autoencoder, X[rows])

    assert_array_equal(display.input_line_.get_ydata(), X[0])
    assert_array_equal(display.reconstruction_line_.get_ydata(), autoencoder.reconstruct(X[:1])[0])
    assert display.ax_.get_title() == f"error {-autoencoder.score_samples(X[:1])[0]:.3g}"


def test_title_says_on_which_side_of_the_threshold_a_row_is(detector, X):
    labels = detector.predict(X)
    for label, side in ((1, ", not above the threshold"), (-1, ", above the threshold")):
        row = X[labels == label][0]
        assert side in SignalDisplay.from_estimator(detector, row).ax_.get_title()


def test_a_signal_is_one_row(autoencoder, X):
    with pytest.raises(ValueError, match=r"x of shape \(60, 12\) is not one row"):
        SignalDisplay.from_estimator(autoencoder, X)


# ---- explanations --------------------------------------------------------------------------------------------


ENSEMBLES = {
    "robust": {},
    "novelty": {"novelty": True},
    "members": {"autoencoder": make_autoencoder(), "n_estimators": 2},
}


@pytest.fixture(scope="module", params=ENSEMBLES.values(), ids=ENSEMBLES)
def ensemble(X, request):
    return AutoEncoderOutlierDetector(random_state=0, **request.param).fit(X)


def test_bars_are_the_features_that_add_most_and_sum_to_the_error(detector, X):
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
def test_there_are_others_where_features_are_more_than_bars(detector, X, max_features, last):
    labels = row_labels(ExplanationDisplay.from_estimator(detector, X[:1], max_features=max_features))
    assert len(labels) == N_FEATURES
    assert last is None or labels[-1] == last


@pytest.mark.filterwarnings("error")
def test_a_row_of_a_frame_names_its_bars(X):
    named = pd.DataFrame(X).add_prefix("column ")
    detector = AutoEncoderOutlierDetector(make_autoencoder(2)).fit(named)
    displays = [ExplanationDisplay.from_estimator(detector, x) for x in (named.iloc[3], named.iloc[[3]])]

    assert row_labels(displays[0]) == row_labels(displays[1])
    assert all(label.startswith("column ") for label in row_labels(displays[0])[:-1])
    assert_array_equal(displays[0].contributions, displays[1].contributions)


def test_features_that_the_row_should_not_be_blamed_for_are_bars_to_the_left(X):
    detector = AutoEncoderOutlierDetector(make_autoencoder(2), error="whitened").fit(X)
    i = detector.explain(X).min(axis=1).argmin()
    display = ExplanationDisplay.from_estimator(detector, X[i], max_features=12)

    assert display.bars_[-1].get_width() < 0
    image = ExplanationDisplay.from_estimator(detector, X[i], image_shape=(3, 4)).image_
    assert image.norm.vmin == -image.norm.vmax


@pytest.mark.parametrize("image_shape", [(3, 4), (1, 3, 4), (3, 2, 2)])
def test_map_of_an_image_is_the_error_of_its_pixels(detector, X, image_shape):
    display = ExplanationDisplay.from_estimator(detector, X[3], image_shape=image_shape)

    *pictures, error = display.ax_.images
    contributions = detector.explain(X[3:4]).to_numpy().reshape(-1, *image_shape[-2:]).sum(0)
    assert error is display.image_
    np.testing.assert_allclose(error.get_array(), contributions)
    assert error.get_clim() == (0, error.get_array().max())
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == [
        "image",
        "reconstruction",
        "part of the error",
    ]
    if len(image_shape) == 2:
        for picture, row in zip(pictures, (X[3], detector.reconstruct(X[3:4])[0]), strict=True):
            assert_array_equal(picture.get_array(), row.reshape(image_shape))


@pytest.mark.parametrize("n_channels", [1, 2])
def test_curve_of_a_sequence_is_the_error_of_its_steps(detector, X, n_channels):
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
def test_title_of_an_explanation_says_on_which_side_of_the_threshold_the_row_is(detector, X, shape):
    labels = detector.predict(X)
    for label, side in ((1, ", not above the threshold"), (-1, ", above the threshold")):
        row = X[labels == label][0]
        assert side in ExplanationDisplay.from_estimator(detector, row, **shape).ax_.get_title()


@pytest.mark.parametrize("shape", [{}, {"image_shape": (3, 4)}, {"sequence_shape": (12, 1)}])
def test_a_row_without_any_error_is_drawn(shape, pyplot):
    nothing = np.zeros(N_FEATURES)
    display = ExplanationDisplay(
        x=nothing, reconstruction=nothing, contributions=nothing, names=range(12), error=0.0, threshold=1.0, **shape
    ).plot()
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_features": 0}, "max_features=0"),
        ({"image_shape": (3, 5)}, r"image_shape=\(3, 5\).*12"),
        ({"sequence_shape": (5, 2)}, r"sequence_shape=\(5, 2\).*12 features"),
        ({"sequence_shape": (12,)}, r"sequence_shape=\(12,\).*n_steps, n_channels"),
        ({"image_shape": (3, 4), "sequence_shape": (12, 1)}, r"image_shape=\(3, 4\) and sequence_shape=\(12, 1\)"),
    ],
)
def test_explanations_that_cannot_be_drawn(detector, X, pyplot, options, message):
    with pytest.raises(ValueError, match=message):
        ExplanationDisplay.from_estimator(detector, X[0], **options)
    with pytest.raises(ValueError, match=r"x of shape \(60, 12\) is not one row"):
        ExplanationDisplay.from_estimator(detector, X)
    assert not pyplot.get_fignums()


def test_only_a_detector_whose_error_has_parts_explains_a_row(autoencoder, X):
    with pytest.raises(TypeError, match="AutoEncoderOutlierDetector"):
        ExplanationDisplay.from_estimator(autoencoder, X[0])
    variational = AutoEncoderOutlierDetector(make_autoencoder(2, VariationalAutoEncoder)).fit(X)
    with pytest.raises(ValueError, match="error='squared_error'"):
        ExplanationDisplay.from_estimator(variational, X[0])


def test_reconstructions_of_an_ensemble_are_drawn(ensemble, X):
    detector, reconstructions = ensemble, ensemble.reconstruct(X)
    images = ReconstructionDisplay.from_estimator(detector, X, image_shape=(3, 4), n_images=5)
    noisy = ReconstructionDisplay.from_estimator(detector, X + 1, X_noisy=X, image_shape=(3, 4), n_images=5)
    signal = SignalDisplay.from_estimator(detector, X[0])
    explanation = ExplanationDisplay.from_estimator(detector, X[0])

    for drawn_last in (drawn(images)[-1], drawn(noisy)[-1]):
        np.testing.assert_allclose(drawn_last, reconstructions[:5].reshape(5, 3, 4))
    for x_hat in (signal.reconstruction, explanation.reconstruction):
        np.testing.assert_allclose(x_hat, reconstructions[0])
    assert explanation.contributions.sum() == pytest.approx(explanation.error)


@pytest.mark.parametrize("kind", ["codes", "manifold", "losses"])
def test_an_ensemble_has_no_code_or_loss_curve(ensemble, X, pyplot, kind):
    with pytest.raises(TypeError, match=r"an ensemble.*AutoEncoderOutlierDetector\(DenoisingAutoEncoder\(\)\)"):
        DRAW[kind](ensemble, X)
    assert not pyplot.get_fignums()


# ---- codes ---------------------------------------------------------------------------------------------------


def test_codes_of_two_components_are_drawn_as_they_are(X):
    autoencoder = make_autoencoder(n_components=2).fit(X)
    display = CodeDisplay.from_estimator(autoencoder, X)

    assert_array_equal(display.scatter_.get_offsets(), autoencoder.transform(X))
    assert display.legend_ is None
    assert display.colorbar_ is None


def test_codes_of_more_components_are_reduced_by_pca_or_by_what_is_given(autoencoder, X):
    class FirstTwo:
        def fit_transform(self, Z):
            return Z[:, :2]

    Z = autoencoder.transform(X)
    by_default = CodeDisplay.from_estimator(autoencoder, X)
    by_given = CodeDisplay.from_estimator(autoencoder, X, reducer=FirstTwo())

    np.testing.assert_allclose(by_default.scatter_.get_offsets(), PCA(2).fit_transform(Z), rtol=1e-4, atol=1e-6)
    assert_array_equal(by_given.scatter_.get_offsets(), Z[:, :2])
    assert by_given.ax_.get_xlabel() == "FirstTwo 1"


@pytest.mark.parametrize("n_classes", [1, 2, 20])
@pytest.mark.parametrize("kind", [int, float, str])
def test_up_to_20_classes_get_a_colour_each(n_classes, kind):
    Z, y = np.random.default_rng(0).normal(size=(N_ROWS, 2)), (np.arange(N_ROWS) % n_classes).astype(kind)
    display = CodeDisplay.from_codes(Z, y)

    display.figure_.canvas.draw()
    names = [text.get_text() for text in display.legend_.get_texts()]
    in_legend = [handle.get_markerfacecolor() for handle in display.legend_.legend_handles]
    assert names == [str(name) for name in np.unique(y)]
    assert len({tuple(color) for color in display.scatter_.get_facecolors()}) == n_classes
    color_of = dict(zip(names, in_legend, strict=True))
    for label, color in zip(y, display.scatter_.get_facecolors(), strict=True):
        np.testing.assert_allclose(color[:3], color_of[str(label)][:3])


@pytest.mark.parametrize("y", [np.linspace(0, 1, N_ROWS), np.arange(N_ROWS), np.repeat([0.5, 1.5], N_ROWS // 2)])
def test_other_numbers_get_a_colour_bar(y):
    display = CodeDisplay.from_codes(np.zeros((N_ROWS, 2)), y)

    assert_array_equal(display.scatter_.get_array(), y)
    assert display.colorbar_ is not None
    assert display.legend_ is None


def test_codes_that_do_not_fit_in_the_plane(autoencoder, X):
    with pytest.raises(ValueError, match="n_components=1"):
        CodeDisplay.from_estimator(make_autoencoder(n_components=1).fit(X), X)
    with pytest.raises(ValueError, match=r"reducer=PCA.*shape \(60, 3\)"):
        CodeDisplay.from_estimator(autoencoder, X, reducer=PCA(3))
    with pytest.raises(ValueError, match="Z has 12 columns"):
        CodeDisplay.from_codes(X)


def test_labels_that_cannot_colour_codes(X, pyplot):
    with pytest.raises(ValueError, match="y has 5 labels for 60 rows"):
        CodeDisplay.from_codes(X[:, :2], np.zeros(5))
    with pytest.raises(ValueError, match="y has 60 classes"):
        CodeDisplay.from_codes(X[:, :2], [f"class {i}" for i in range(N_ROWS)])
    assert not pyplot.get_fignums()


# ---- manifold ------------------------------------------------------------------------------------------------


def images_on_axes(display, height, width):
    """The image around each code, by its column and row of the grid, as they lie on the axes."""
    n = len(display.steps)
    left, right, bottom, top = display.image_.get_extent()
    assert (left, right, bottom, top) == (-0.5, n - 0.5, -0.5, n - 0.5)
    assert display.image_.origin == "upper"
    pixels = np.asarray(display.image_.get_array())
    assert pixels.shape[:2] == (n * height, n * width)
    return {
        (column, row): pixels[(n - 1 - row) * height :][:height, column * width :][:, :width]
        for column in range(n)
        for row in range(n)
    }


@pytest.mark.parametrize("kind", [VariationalAutoEncoder, AdversarialAutoEncoder])
@pytest.mark.parametrize("image_shape", [(3, 4), (1, 3, 4)])
def test_manifold_decodes_quantiles_of_the_normal_prior(X, kind, image_shape):
    autoencoder = make_autoencoder(2, kind).fit(X)
    display = ManifoldDisplay.from_estimator(autoencoder, image_shape=image_shape, n_steps=5)

    quantiles = [NormalDist().inv_cdf(share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    np.testing.assert_allclose(display.steps, np.column_stack([quantiles, quantiles]), atol=1e-12)
    for (column, row), image in images_on_axes(display, 3, 4).items():
        code = [[display.steps[column, 0], display.steps[row, 1]]]
        assert_array_equal(image.ravel(), autoencoder.inverse_transform(code)[0])
    assert display.image_.get_clim() == (display.images.min(), display.images.max())


def test_manifold_spans_the_codes_of_the_rows_that_it_is_given(X):
    autoencoder = make_autoencoder(2).fit(X)
    display = ManifoldDisplay.from_estimator(autoencoder, X, image_shape=(3, 4), n_steps=2)

    Z = autoencoder.transform(X)
    np.testing.assert_allclose(display.steps, np.quantile(Z, [0.25, 0.75], axis=0))
    assert_array_equal(
        display.images[1, 0], autoencoder.inverse_transform([[display.steps[0, 0], display.steps[1, 1]]])[0]
    )
    ticks = {
        axis.get_label_text(): [label.get_text() for label in axis.get_ticklabels()]
        for axis in (display.ax_.xaxis, display.ax_.yaxis)
    }
    assert ticks == {
        f"code {i + 1}": [f"{value:.2g}" for value in np.quantile(Z[:, i], [0.25, 0.75])] for i in range(2)
    }


def test_manifold_of_colour_images_has_their_channels_last_and_spans_the_scale(X):
    autoencoder = make_autoencoder(2).fit(X)
    display = ManifoldDisplay.from_estimator(autoencoder, X, image_shape=(3, 2, 2), n_steps=3)

    images = images_on_axes(display, 2, 2)
    scaled = (display.images - display.images.min()) / np.ptp(display.images)
    np.testing.assert_allclose(images[2, 0], scaled[0, 2].reshape(3, 2, 2).transpose(1, 2, 0))
    assert (min(map(np.min, images.values())), max(map(np.max, images.values()))) == (0, 1)


def test_manifold_of_a_class(X):
    autoencoder = make_autoencoder(2, ConditionalVariationalAutoEncoder).fit(X, np.arange(N_ROWS) % 3)
    options = {"image_shape": (3, 4), "n_steps": 1}
    for y in (None, 0, 2):
        display = ManifoldDisplay.from_estimator(autoencoder, y=y, **options)
        assert_array_equal(display.images[0], autoencoder.inverse_transform([[0.0, 0.0]], y))
    with pytest.raises(ValueError, match=r"y holds \[3\]"):
        ManifoldDisplay.from_estimator(autoencoder, y=3, **options)


@pytest.mark.parametrize(
    ("parameters", "options", "message"),
    [
        ({"n_components": 3}, {}, "n_components=3.*n_components=2"),
        ({}, {"image_shape": (3, 5)}, r"image_shape=\(3, 5\).*12"),
        ({}, {"n_steps": 0}, "n_steps=0"),
        ({}, {"y": 1}, "y=1 .* a VariationalAutoEncoder knows no classes"),
        ({"kind": AutoEncoderTransformer}, {}, "X=None .* an? AutoEncoderTransformer has no normal prior"),
        ({"kind": AdversarialAutoEncoder, "prior": "uniform"}, {}, "X=None .* no normal prior"),
    ],
)
def test_manifolds_that_cannot_be_drawn(X, pyplot, parameters, options, message):
    autoencoder = make_autoencoder(**{"n_components": 2, "kind": VariationalAutoEncoder, **parameters}).fit(X)
    with pytest.raises(ValueError, match=message):
        ManifoldDisplay.from_estimator(autoencoder, **{"image_shape": (3, 4), **options})
    assert not pyplot.get_fignums()


# ---- losses --------------------------------------------------------------------------------------------------


def test_curves_are_the_losses_of_the_epochs_and_the_best_is_marked(autoencoder):
    display = LossCurveDisplay.from_estimator(autoencoder, log=True)

    epoch = autoencoder.best_epoch_
    assert_array_equal(display.line_.get_xydata().T, [range(1, 5), autoencoder.loss_curve_])
    assert_array_equal(display.validation_line_.get_ydata(), autoencoder.validation_loss_curve_)
    assert_array_equal(display.best_point_.get_xydata(), [[epoch, min(autoencoder.validation_loss_curve_)]])
    assert legend(display) == ["training", "held out", f"best epoch ({epoch})"]
    assert display.ax_.get_yscale() == "log"


def test_without_held_out_rows_the_best_epoch_is_on_the_training_curve(detector):
    display = LossCurveDisplay.from_estimator(detector)

    losses, epoch = detector.autoencoder_.loss_curve_, detector.autoencoder_.best_epoch_
    assert display.validation_line_ is None
    assert_array_equal(display.line_.get_ydata(), losses)
    assert_array_equal(display.best_point_.get_xydata(), [[epoch, losses[epoch - 1]]])


def test_held_out_losses_of_unknown_epochs_are_not_drawn():
    with pytest.raises(ValueError, match="validation_loss_curve has 1 epochs and loss_curve has 2"):
        LossCurveDisplay(loss_curve=[2.0, 1.0], validation_loss_curve=[3.0]).plot()


# ---- what all have in common ---------------------------------------------------------------------------------

DRAW = {
    "images": lambda estimator, X, **to: ReconstructionDisplay.from_estimator(estimator, X, image_shape=(3, 4), **to),
    "errors": ErrorHistogramDisplay.from_estimator,
    "signal": lambda estimator, X, **to: SignalDisplay.from_estimator(estimator, X[:1], **to),
    "explanation": lambda estimator, X, **to: ExplanationDisplay.from_estimator(estimator, X[:1], **to),
    "explanation of an image": lambda estimator, X, **to: ExplanationDisplay.from_estimator(
        estimator, X[:1], image_shape=(3, 4), **to
    ),
    "explanation of a sequence": lambda estimator, X, **to: ExplanationDisplay.from_estimator(
        estimator, X[:1], sequence_shape=(6, 2), **to
    ),
    "codes": CodeDisplay.from_estimator,
    "manifold": lambda estimator, X, **to: ManifoldDisplay.from_estimator(estimator, X, image_shape=(3, 4), **to),
    "losses": lambda estimator, X, **to: LossCurveDisplay.from_estimator(estimator, **to),
}
OF_DETECTORS = [draw for name, draw in DRAW.items() if name.startswith(("errors", "explanation"))]
every_display = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)


@every_display
def test_draws_on_the_axes_that_it_is_given(draw, detector, X, pyplot):
    figure, ax = pyplot.subplots()
    display = draw(detector, X, ax=ax)

    assert display.ax_ is ax
    assert display.figure_ is figure
    assert display.plot(ax) is display
    assert pyplot.get_fignums() == [figure.number]


@every_display
@pytest.mark.filterwarnings("error")
def test_rows_may_have_named_columns(draw, X):
    named = pd.DataFrame(X).add_prefix("column ")
    draw(AutoEncoderOutlierDetector(make_autoencoder(2)).fit(named), named)
    if draw not in OF_DETECTORS:
        draw(make_autoencoder(2).set_output(transform="pandas").fit(named), named)


@every_display
def test_estimators_must_be_fitted(draw, X):
    with pytest.raises(NotFittedError):
        draw(AutoEncoderOutlierDetector(), X)


@every_display
def test_of_a_pipeline_the_last_step_is_asked_for(draw, X):
    with pytest.raises(TypeError, match=r"estimator is a Pipeline .*pipeline\[-1\]"):
        draw(make_pipeline(StandardScaler(), make_autoencoder()).fit(X), X)


def test_matplotlib_is_asked_for_only_to_draw():
    code = """
import sys
sys.modules["matplotlib"] = None
from skae.plotting import LossCurveDisplay
try:
    LossCurveDisplay(loss_curve=[1.0]).plot()
except ImportError as error:
    assert "LossCurveDisplay.plot requires matplotlib" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
