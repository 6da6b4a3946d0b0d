"""The displays draw what the estimators return."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from plotting_cases import N_ROWS, X, drawn, legend, make_autoencoder, pyplot_without_windows
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoEncoderOutlierDetector, StackedAutoEncoderClassifier
from skae.plotting import (
    CodeDisplay,
    ErrorHistogramDisplay,
    ExplanationDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SignalDisplay,
    ThresholdDisplay,
)

pytest.importorskip("matplotlib")
Y = np.repeat([1, -1], [N_ROWS - 15, 15])


@pytest.fixture(autouse=True)
def pyplot():
    yield from pyplot_without_windows()


@pytest.fixture(scope="module")
def autoencoder():
    return make_autoencoder(early_stopping=True).fit(X)


@pytest.fixture(scope="module")
def detector():
    return AutoEncoderOutlierDetector(make_autoencoder(2), contamination=0.1).fit(X)


# ---- all displays --------------------------------------------------------------------------------------------

DRAW = {
    "images": lambda estimator, X, **to: ReconstructionDisplay.from_estimator(estimator, X, image_shape=(3, 4), **to),
    "errors": ErrorHistogramDisplay.from_estimator,
    "threshold": lambda estimator, X, **to: ThresholdDisplay.from_estimator(estimator, X, Y, **to),
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
OF_DETECTORS = [draw for name, draw in DRAW.items() if name.startswith(("errors", "threshold", "explanation"))]
every_display = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)


@every_display
def test_given_axes_are_drawn_on(draw, detector, pyplot):
    figure, ax = pyplot.subplots()
    display = draw(detector, X, ax=ax)

    assert display.ax_ is ax
    assert display.figure_ is figure
    assert display.plot(ax) is display
    assert pyplot.get_fignums() == [figure.number]


@every_display
@pytest.mark.filterwarnings("error")
def test_rows_may_have_named_columns(draw):
    named = pd.DataFrame(X).add_prefix("column ")
    draw(AutoEncoderOutlierDetector(make_autoencoder(2)).fit(named), named)
    if draw not in OF_DETECTORS:
        draw(make_autoencoder(2).set_output(transform="pandas").fit(named), named)


@every_display
def test_estimator_must_be_fitted(draw):
    with pytest.raises(NotFittedError):
        draw(AutoEncoderOutlierDetector(), X)


@every_display
def test_last_step_of_a_pipeline_is_required(draw):
    with pytest.raises(TypeError, match=r"estimator is a Pipeline, but must be an.*pipeline\[-1\]"):
        draw(make_pipeline(StandardScaler(), make_autoencoder()).fit(X), X)


def test_matplotlib_is_needed_only_to_draw():
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


# ---- ensembles -----------------------------------------------------------------------------------------------

ENSEMBLES = {
    "robust": {},
    "novelty": {"novelty": True},
    "members": {"autoencoder": make_autoencoder(), "n_estimators": 2},
}


@pytest.fixture(scope="module", params=ENSEMBLES.values(), ids=ENSEMBLES)
def ensemble(request):
    return AutoEncoderOutlierDetector(random_state=0, **request.param).fit(X)


def test_reconstructions_of_an_ensemble_are_drawn(ensemble):
    detector, reconstructions = ensemble, ensemble.reconstruct(X)
    images = ReconstructionDisplay.from_estimator(detector, X, image_shape=(3, 4), n_images=5)
    noisy = ReconstructionDisplay.from_estimator(detector, X + 1, X_noisy=X, image_shape=(3, 4), n_images=5)
    signal = SignalDisplay.from_estimator(detector, X[0])
    explanation = ExplanationDisplay.from_estimator(detector, X[0])

    for drawn_last in (drawn(images)[-1], drawn(noisy)[-1]):
        np.testing.assert_allclose(drawn_last, reconstructions[:5].reshape(5, 3, 4), rtol=1e-5, atol=1e-6)
    for x_hat in (signal.reconstruction, explanation.reconstruction):
        np.testing.assert_allclose(x_hat, reconstructions[0], rtol=1e-5, atol=1e-6)
    assert explanation.contributions.sum() == pytest.approx(explanation.error)


@pytest.mark.parametrize("kind", ["codes", "manifold", "losses"])
def test_ensemble_has_no_code_and_no_loss_curve(ensemble, pyplot, kind):
    with pytest.raises(TypeError, match=r"an ensemble.*AutoEncoderOutlierDetector\(DenoisingAutoEncoder\(\)\)"):
        DRAW[kind](ensemble, X)
    assert not pyplot.get_fignums()


# ---- losses --------------------------------------------------------------------------------------------------


def test_loss_curves_and_the_best_epoch_are_drawn(autoencoder):
    display = LossCurveDisplay.from_estimator(autoencoder, log=True)

    epoch = autoencoder.best_epoch_
    assert_array_equal(display.line_.get_xydata().T, [range(1, 5), autoencoder.loss_curve_])
    assert_array_equal(display.validation_line_.get_ydata(), autoencoder.validation_loss_curve_)
    assert_array_equal(display.best_point_.get_xydata(), [[epoch, min(autoencoder.validation_loss_curve_)]])
    assert legend(display) == ["training", "held out", f"best epoch ({epoch})"]
    assert display.ax_.get_yscale() == "log"


def test_best_epoch_is_on_the_training_curve_without_held_out_rows(detector):
    display = LossCurveDisplay.from_estimator(detector)

    losses, epoch = detector.autoencoder_.loss_curve_, detector.autoencoder_.best_epoch_
    assert display.validation_line_ is None
    assert_array_equal(display.line_.get_ydata(), losses)
    assert_array_equal(display.best_point_.get_xydata(), [[epoch, losses[epoch - 1]]])


def test_loss_curves_must_have_the_same_length():
    with pytest.raises(ValueError, match="validation_loss_curve has 1 epochs and loss_curve has 2, but they must"):
        LossCurveDisplay(loss_curve=[2.0, 1.0], validation_loss_curve=[3.0]).plot()


# ---- histogram of errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True])
def test_histogram_counts_errors_and_marks_the_threshold(detector, log):
    display = ErrorHistogramDisplay.from_estimator(detector, X, log=log, bins=7)

    counts, _ = np.histogram(-detector.score_samples(X), display.bin_edges_)
    (bars,) = display.bars_
    assert_array_equal(bars.datavalues, counts)
    assert counts.sum() == N_ROWS
    assert_array_equal(display.line_.get_xdata(), detector.threshold_)
    assert display.ax_.get_xscale() == ("log" if log else "linear")
    assert legend(display) == [f"threshold {detector.threshold_:.3g}"]


def test_histogram_separates_inliers_and_outliers(detector):
    errors = -detector.score_samples(X)
    for display in (
        ErrorHistogramDisplay.from_estimator(detector, X, Y),
        ErrorHistogramDisplay.from_predictions(Y, errors),
    ):
        for bars, sign in zip(display.bars_, [1, -1], strict=True):
            assert_array_equal(bars.datavalues, np.histogram(errors[sign == Y], display.bin_edges_)[0])
        assert legend(display)[:2] == ["inliers", "outliers"]


def test_histogram_needs_no_labels_and_no_threshold():
    display = ErrorHistogramDisplay.from_predictions(None, [1.0, 2.0, 4.0])
    assert display.line_ is None
    assert display.ax_.get_legend() is None
    assert sum(sum(bars.datavalues) for bars in display.bars_) == 3


def test_infinite_errors_are_counted_in_the_title(pyplot):
    errors = [1.0, 2.0, np.inf, 4.0, np.inf]
    display = ErrorHistogramDisplay.from_predictions([1, 1, -1, -1, -1], errors, threshold=3)
    assert [sum(bars.datavalues) for bars in display.bars_] == [2, 1]
    assert display.ax_.get_title() == "not drawn: 2 with infinite error"
    assert display.bin_edges_[-1] == 4
    with pytest.raises(ValueError, match="errors of all 2 rows are infinite"):
        ErrorHistogramDisplay.from_predictions(None, [np.inf, np.inf])


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("errors", [[1.0] * 3, [1e300] * 3, 1e8 + 1e-8 * np.arange(3)])
def test_equal_errors_are_in_bins_that_can_be_seen(errors, log):
    display = ErrorHistogramDisplay.from_predictions(None, errors, log=log)
    assert sum(display.bars_[0].datavalues) == 3
    assert (np.diff(display.bin_edges_) > 0).all()


# ---- thresholds ----------------------------------------------------------------------------------------------


def metrics(errors, threshold):
    labels = np.where(errors > threshold, -1, 1)
    return [metric(Y, labels, pos_label=-1) for metric in (precision_score, recall_score, f1_score)]


@pytest.mark.parametrize("log", [False, True])
def test_metrics_are_those_of_the_rows_above_each_threshold(detector, log):
    display = ThresholdDisplay.from_estimator(detector, X, Y, log=log)

    errors = -detector.score_samples(X)
    for line in display.lines_.values():
        assert_array_equal(line.get_xdata(), np.sort(errors))
        assert line.get_drawstyle() == "steps-pre"  # up to an error what holds just below it
    for i, error in enumerate(np.sort(errors)):
        drawn_here = [line.get_ydata()[i] for line in display.lines_.values()]
        assert drawn_here == pytest.approx(metrics(errors, np.nextafter(error, 0)))
    assert display.ax_.get_xscale() == ("log" if log else "linear")


def test_the_chosen_threshold_is_marked(detector):
    display = ThresholdDisplay.from_estimator(detector, X, Y)

    values = metrics(-detector.score_samples(X), detector.threshold_)
    assert_array_equal(display.line_.get_xdata(), detector.threshold_)
    assert_array_equal(display.points_.get_xdata(), [detector.threshold_] * 3)
    assert display.points_.get_ydata() == pytest.approx(values)
    assert legend(display) == [
        *(f"{name} {value:.2f}" for name, value in zip(("precision", "recall", "F1"), values, strict=True)),
        f"threshold {detector.threshold_:.3g}",
    ]


@pytest.mark.parametrize(("threshold", "at"), [(0.2, [2 / 3, 1, 0.8]), (0.1, [0.5, 1, 2 / 3]), (0.05, [0.4, 1, 4 / 7])])
def test_a_threshold_that_equals_an_error_calls_that_row_an_inlier(threshold, at):
    display = ThresholdDisplay.from_predictions([1, 1, 1, -1, -1], [0.1, 0.2, 0.4, 0.3, 0.5], threshold=threshold)
    assert display.points_.get_ydata() == pytest.approx(at)


@pytest.mark.parametrize(("threshold", "lines"), [(None, 0), (0.5, 1)])
def test_nothing_is_marked_where_no_error_is_above_the_threshold(threshold, lines):
    display = ThresholdDisplay.from_predictions([1, -1], [0.1, 0.5], threshold=threshold)
    assert display.points_ is None
    assert (display.line_ is not None) == lines
    assert legend(display)[:3] == ["precision", "recall", "F1"]


def test_rows_of_infinite_error_are_found_at_any_threshold():
    display = ThresholdDisplay.from_predictions([1, 1, -1, -1], [0.1, 0.2, 0.3, np.inf], threshold=0.3)
    assert display.points_.get_ydata() == pytest.approx([1, 0.5, 2 / 3])
    assert display.ax_.get_xlim()[1] < 1


def test_the_tuned_threshold_is_where_f1_is_largest(detector):
    tuned = AutoEncoderOutlierDetector(make_autoencoder(2)).fit(X).tune_threshold(X, Y)
    display = ThresholdDisplay.from_estimator(tuned, X, Y)
    assert display.points_.get_ydata()[2] == display.lines_["F1"].get_ydata().max()


@pytest.mark.parametrize(
    ("y", "errors", "options", "message"),
    [
        ([1, 1], [0.1, 0.2], {}, "y_true must label some rows -1"),
        (None, [0.1, 0.2], {}, "y_true must label some rows -1"),
        ([0, 1], [0.1, 0.2], {}, r"y_true has the labels \[0, 1\].*np.where\(y_true == 1"),
        ([1], [0.1, 0.2], {}, "y_true has 1 labels for 2 rows"),
        ([1, -1], [0.1, np.nan], {}, "errors contains NaN or minus infinity, first in row 1"),
        ([1, "-1"], [0.1, 0.2], {}, "y_true has the labels"),
        (np.array([1, -1, "x"], dtype=object), [0.1, 0.2, 0.3], {}, "y_true mixes labels of the types"),
        (np.array([False, True]), [0.1, 0.2], {}, r"y_true has the labels \[False, True\]"),
        ([True, True], [0.1, 0.2], {}, r"y_true has the labels \[True\]"),
        ([1, -1], [0.0, 0.2], {"log": True}, "log=True needs positive values, but the lowest error is 0"),
    ],
)
def test_invalid_labels_and_errors(y, errors, options, message, pyplot):
    kinds = [ThresholdDisplay] if "must label some" in message else [ThresholdDisplay, ErrorHistogramDisplay]
    for kind in kinds:
        with pytest.raises(ValueError, match=message):
            kind.from_predictions(y, errors, **options)
    assert not pyplot.get_fignums()


@pytest.mark.parametrize(
    ("y", "message"),
    [(np.ones(5), "y has 5 labels for 60 rows"), (np.arange(N_ROWS) % 2, r"y has the labels \[0, 1\].*np.where")],
)
def test_invalid_labels_of_a_histogram(detector, y, message):
    with pytest.raises(ValueError, match=message):
        ErrorHistogramDisplay.from_estimator(detector, X, y)


@pytest.mark.parametrize(
    ("errors", "threshold", "what"), [([0.0, 1.0], 0.5, "lowest error"), ([1.0], 0.0, "threshold")]
)
def test_logarithmic_axis_needs_positive_values(errors, threshold, what):
    display = ErrorHistogramDisplay(errors=np.array(errors), threshold=threshold)
    with pytest.raises(ValueError, match=f"log=True needs positive values, but the {what} is 0"):
        display.plot(log=True)


def test_logarithms_of_losses_need_positive_ones(pyplot):
    display = LossCurveDisplay(loss_curve=[1.0, 0.5], validation_loss_curve=np.array([1.0, -0.5]))
    with pytest.raises(ValueError, match=r"log=True needs positive values, but the lowest loss is -0\.5"):
        display.plot(log=True)
    assert not pyplot.get_fignums()


# ---- signals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, slice(0, 1)])
def test_signal_shows_the_row_and_its_reconstruction(autoencoder, rows):
    display = SignalDisplay.from_estimator(autoencoder, X[rows])

    assert_array_equal(display.input_line_.get_ydata(), X[0])
    assert_array_equal(display.reconstruction_line_.get_ydata(), autoencoder.reconstruct(X[:1])[0])
    assert display.ax_.get_title() == f"error {-autoencoder.score_samples(X[:1])[0]:.3g}"


def test_title_of_a_signal_says_whether_the_row_is_an_outlier(detector):
    labels = detector.predict(X)
    for label, kind in ((1, "(inlier)\nthreshold"), (-1, "(outlier)\nthreshold")):
        row = X[labels == label][0]
        assert kind in SignalDisplay.from_estimator(detector, row).ax_.get_title()


def test_signal_must_be_one_row(autoencoder):
    with pytest.raises(ValueError, match=r"x must be one row, but has shape \(60, 12\)"):
        SignalDisplay.from_estimator(autoencoder, X)


def test_the_classifier_has_a_loss_curve_but_no_reconstructions(plane):
    y = np.arange(len(plane)) % 2
    classifier = StackedAutoEncoderClassifier(2, hidden_layer_sizes=(8,), pretrain_max_iter=1, max_iter=2).fit(plane, y)
    assert LossCurveDisplay.from_estimator(classifier).ax_.lines
    with pytest.raises(TypeError, match="must be an autoencoder of skae"):
        ReconstructionDisplay.from_estimator(classifier, plane[:3], image_shape=(1, 5))


# ---- tables --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cars():
    rng = np.random.default_rng(0)
    kind = rng.choice(["car", "van"], 300)
    table = pd.DataFrame({"kind": kind, "tonnes": np.where(kind == "car", 1.0, 3.0) + 0.1 * rng.normal(size=300)})
    table["seats"] = np.where(kind == "car", 5, 9)
    table["colour"] = rng.choice(["blue", "red"], 300)
    return table, AutoEncoderOutlierDetector(random_state=0).fit(table)


@pytest.mark.parametrize("as_row", [lambda row: row, lambda row: row.iloc[0]], ids=["frame", "series"])
def test_categories_are_explained_in_words(as_row, cars, pyplot):
    _, detector = cars
    row = as_row(pd.DataFrame({"kind": ["car"], "tonnes": [3.0], "seats": [9], "colour": ["pink"]}))
    display = ExplanationDisplay.from_estimator(detector, row)
    texts = [text.get_text() for text in display.ax_.texts]
    assert "car instead of van" in texts
    assert any(text.startswith("pink (new) instead of ") for text in texts)


def test_a_category_that_is_the_expected_one_is_named_once(cars, pyplot):
    table, detector = cars
    texts = {text.get_text() for text in ExplanationDisplay.from_estimator(detector, table[:1]).ax_.texts}
    assert table["kind"][0] in texts


def test_missing_values_are_explained_as_missing(cars, pyplot):
    table, detector = cars
    display = ExplanationDisplay.from_estimator(detector, table[:1].assign(colour=None))
    assert display.contributions[3] == 0
    assert "missing" in [text.get_text() for text in display.ax_.texts]


@pytest.mark.parametrize(
    "draw",
    [
        SignalDisplay.from_estimator,
        lambda estimator, x: ReconstructionDisplay.from_estimator(estimator, x, image_shape=(1, 4)),
        lambda estimator, x: ExplanationDisplay.from_estimator(estimator, x, image_shape=(1, 4)),
    ],
)
def test_rows_with_categories_are_no_signals_or_images(draw, cars, pyplot):
    table, detector = cars
    with pytest.raises(ValueError, match=r"\['kind', 'colour'\] of X are categories.*ExplanationDisplay"):
        draw(detector, table[:1])
