import signal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from test_base import EveryEpoch
from torch import nn

import skae.estimators.base
from skae import (
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    DenoisingAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.training import History


def small(**parameters):
    return AutoEncoderTransformer(2, **{"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, **parameters})


@pytest.fixture(scope="module")
def mixed():
    """200 rows on a plane, labelled +1, and 20 off it, labelled -1."""
    rng = np.random.default_rng(0)
    inliers = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) + 0.05 * rng.normal(size=(200, 6))
    X = np.r_[inliers, 2 * rng.normal(size=(20, 6))]
    return X, np.r_[np.ones(200, int), -np.ones(20, int)]


@pytest.fixture
def trainings(monkeypatch):
    """Count the trainings of networks."""
    calls = []
    train = skae.estimators.base.train

    def counted(*args, **kwargs):
        calls.append(args)
        return train(*args, **kwargs)

    monkeypatch.setattr(skae.estimators.base, "train", counted)
    return calls


# ---- the contract of IsolationForest -----------------------------------------------------------------------


@pytest.mark.parametrize("autoencoder", [None, small(), DenoisingAutoEncoder(2, max_iter=10)], ids=repr)
@pytest.mark.parametrize("novelty", [False, True])
def test_scores_decisions_and_labels_belong_together(autoencoder, novelty, mixed):
    X, y = mixed
    detector = AutoEncoderOutlierDetector(autoencoder, novelty=novelty, random_state=0).fit(X, y)
    scores, decision, labels = detector.score_samples(X), detector.decision_function(X), detector.predict(X)
    assert (scores.dtype, decision.dtype) == (np.float64, np.float64)
    np.testing.assert_array_equal(decision, scores - detector.offset_)
    np.testing.assert_array_equal(labels, np.where(decision < 0, -1, 1))
    np.testing.assert_array_equal(scores, detector.autoencoder_.score_samples(X))
    assert detector.offset_ == -detector.threshold_


@given(st.floats(0.005, 0.5))
@settings(max_examples=15)
def test_contamination_is_the_share_of_training_rows_called_outliers(mixed, contamination):
    X, _ = mixed
    n_outliers = (AutoEncoderOutlierDetector(small(max_iter=2), contamination=contamination).fit_predict(X) == -1).sum()
    assert abs(n_outliers - contamination * len(X)) < 1


def test_training_rows_are_not_labelled_with_novelty(mixed):
    detector = AutoEncoderOutlierDetector(small(max_iter=2), novelty=True)
    assert not hasattr(detector, "fit_predict")
    refused = r"fit_predict is not available with novelty=True.*fit\(X\).predict\(X_new\), or set novelty=False"
    with pytest.raises(AttributeError, match=refused):
        detector.fit_predict(mixed[0])
    with pytest.raises(AttributeError, match=refused):
        AutoEncoderOutlierDetector.fit_predict(detector, mixed[0])
    assert hasattr(AutoEncoderOutlierDetector(), "fit_predict")


def test_outliers_are_found_and_labels_help(mixed):
    X, y = mixed
    aware = AutoEncoderOutlierDetector(small(max_iter=60), novelty=True, threshold="mean+3*std")
    assert np.array_equal(aware.fit(X, y).predict(X)[200:], y[200:])
    assert roc_auc_score(y, aware.score_samples(X)) > 0.99


def test_rows_labelled_outliers_are_left_out_of_training(mixed):
    X, y = mixed
    detector = AutoEncoderOutlierDetector(small(), novelty=True)
    with_labels, normals_only = clone(detector).fit(X, y), clone(detector).fit(X[y == 1])
    assert np.array_equal(with_labels.score_samples(X), normals_only.score_samples(X))
    assert with_labels.threshold_ == normals_only.threshold_
    ignoring = clone(detector).set_params(novelty=False)
    assert np.array_equal(clone(ignoring).fit(X, y).score_samples(X), clone(ignoring).fit(X).score_samples(X))


def test_the_given_autoencoder_is_cloned(mixed):
    autoencoder = small()
    detector = AutoEncoderOutlierDetector(autoencoder).fit(mixed[0])
    assert not hasattr(autoencoder, "n_features_in_")
    assert detector.autoencoder_ is not autoencoder


# ---- thresholds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.25, lambda errors: 0.25),
        (2, lambda errors: 2.0),
        ("mean+1*std", lambda errors: errors.mean() + errors.std()),
        ("median", np.median),
    ],
)
def test_threshold_is_in_units_of_the_training_rows_errors(threshold, expected, mixed):
    X, _ = mixed
    detector = AutoEncoderOutlierDetector(small(), threshold=threshold).fit(X)
    assert detector.threshold_ == pytest.approx(expected(-detector.score_samples(X)))


def test_errors_that_are_negative_cannot_be_multiplied(digits):
    detector = AutoEncoderOutlierDetector(VariationalAutoEncoder(2, max_iter=2, random_state=0), threshold=-5.0)
    assert detector.fit(digits).threshold_ == -5
    scores = detector.score_samples(digits)
    with pytest.raises(ValueError, match=r"threshold='2\*median' multiplies errors, which must be positive"):
        detector.set_threshold("2*median")
    with pytest.raises(ValueError, match="multiplies errors"):
        detector.set_params(threshold="2*median", autoencoder__random_state=1).fit(digits[::-1])
    assert detector.threshold_ == -5
    assert np.array_equal(detector.score_samples(digits), scores)


@pytest.mark.parametrize("autoencoder", [small(), None], ids=repr)
@pytest.mark.parametrize("bagging", [{}, {"n_estimators": 6, "max_samples": 0.5}], ids=["auto", "bag"])
@pytest.mark.parametrize(("novelty", "rule"), [(True, "mean+2.25*std"), (False, "mean+1*std")])
def test_auto_is_the_documented_rule(novelty, rule, bagging, autoencoder, mixed):
    X, y = mixed
    auto = AutoEncoderOutlierDetector(autoencoder, novelty=novelty, random_state=0, **bagging).fit(X, y)
    errors = auto._errors
    assert len(errors) <= (200 if novelty else 220)
    value = errors.mean() + (2.25 if novelty else 1) * errors.std()
    if not novelty:  # a tenth of the training rows, at most, exceeds it, to a whole row
        value = max(value, np.quantile(errors, 0.9, method="higher"))
        assert (errors > auto.threshold_).mean() <= 0.1
    assert auto.threshold_ == pytest.approx(value, rel=1e-3)
    if novelty:
        assert auto.threshold_ == clone(auto).set_params(threshold=rule).fit(X, y).threshold_


@pytest.mark.parametrize("autoencoder", [small(), None], ids=repr)
def test_one_gross_training_row_does_not_hide_outliers(autoencoder, mixed):
    X, y = mixed
    gross = np.r_[X[y == 1], 1e4 * np.ones((1, 6))]
    detector = AutoEncoderOutlierDetector(
        autoencoder, error="absolute_error", n_estimators=10, max_samples=20, random_state=0
    ).fit(gross)
    limited = detector.threshold_
    assert limited < 0.5 * detector.set_threshold("mean+1*std").threshold_


# ---- one training serves a search --------------------------------------------------------------------------


def test_a_search_over_thresholds_trains_once_a_fold(tmp_path, mixed, trainings):
    X, y = mixed
    shuffled = np.random.default_rng(0).permutation(len(X))
    detector = AutoEncoderOutlierDetector(small(max_iter=3), novelty=True, memory=str(tmp_path))
    grid = {"threshold": [f"mean+{k}*std" for k in np.linspace(0, 4, 10)]}

    def search(grid):
        return GridSearchCV(detector, grid, scoring="balanced_accuracy", cv=5).fit(X[shuffled], y[shuffled])

    first = search(grid)
    assert len(trainings) == 5 + 1
    assert len(first.cv_results_["params"]) == 10
    second = search(grid)
    assert len(trainings) == 5 + 1
    np.testing.assert_array_equal(first.cv_results_["mean_test_score"], second.cv_results_["mean_test_score"])
    search({"contamination": [0.05, 0.1, 0.2]})
    assert len(trainings) == 5 + 1


@pytest.mark.parametrize("change", ["autoencoder__max_iter", "autoencoder__n_components", "autoencoder__random_state"])
def test_what_changes_the_training_is_trained_anew(change, tmp_path, mixed, trainings):
    X, _ = mixed
    detector = AutoEncoderOutlierDetector(small(max_iter=2), memory=str(tmp_path)).fit(X)
    clone(detector).fit(X)
    assert len(trainings) == 1
    clone(detector).set_params(**{change: 3}).fit(X)
    assert len(trainings) == 2
    clone(detector).fit(X[:-1])
    assert len(trainings) == 3


def test_an_edited_function_is_trained_anew(tmp_path, mixed, trainings):
    X, _ = mixed

    def detector(width):
        def network(n_features, n_components):

            return nn.Linear(n_features, n_components), nn.Sequential(
                nn.Linear(n_components, width), nn.Linear(width, n_features)
            )

        return AutoEncoderOutlierDetector(small(network=network, max_iter=2), memory=str(tmp_path))

    detector(4).fit(X)
    detector(4).fit(X)
    assert len(trainings) == 1
    detector(8).fit(X)  # the same name and source; another value enclosed
    assert len(trainings) == 2


def test_what_does_not_change_the_model_does_not_train_anew(tmp_path, mixed, trainings):
    X, _ = mixed
    callback = EveryEpoch(lambda epoch, fitted: None)
    autoencoder = small(max_iter=2).set_callbacks(callback)
    first = AutoEncoderOutlierDetector(autoencoder, memory=str(tmp_path)).fit(X)
    second = clone(first).set_params(autoencoder__verbose=True, autoencoder__device="cpu").fit(X)
    assert len(trainings) == 1
    assert second.autoencoder_.verbose
    assert second.autoencoder_.device == "cpu"


def test_without_memory_every_fit_trains(mixed, trainings):
    detector = AutoEncoderOutlierDetector(small(max_iter=2))
    detector.fit(mixed[0]).fit(mixed[0])
    assert len(trainings) == 2


# ---- calibration, p-values, explanations -------------------------------------------------------------------


@pytest.mark.parametrize("novelty", [False, True])
def test_held_out_rows_set_the_threshold(novelty, mixed):
    X, y = mixed
    detector = AutoEncoderOutlierDetector(
        small(), novelty=novelty, contamination=0.1, calibration_fraction=0.25, random_state=0
    ).fit(X, y)
    n = 200 if novelty else 220
    assert len(detector._errors) == n // 4
    assert (detector._errors > detector.threshold_).mean() == pytest.approx(0.1, abs=0.02)
    everything = -detector.score_samples(X[y == 1] if novelty else X)
    # a row's error is the same in other company but for rounding
    nearest = np.abs(detector._errors[:, None] - everything).min(1)
    np.testing.assert_array_less(nearest, 1e-5 * detector._errors)


def test_a_threshold_can_be_set_anew_without_training(mixed, trainings):
    X, _ = mixed
    detector = AutoEncoderOutlierDetector(small(), random_state=0).fit(X)
    for parameters in ({"threshold": "mean+2*std"}, {"contamination": 0.2}, {"threshold": 0.3}, {}):
        expected = clone(detector).set_params(threshold="auto", contamination="auto").set_params(**parameters).fit(X)
        n_trainings = len(trainings)
        assert detector.set_threshold(**parameters) is detector
        assert len(trainings) == n_trainings
        assert detector.threshold_ == expected.threshold_ == -detector.offset_
        assert detector.get_params()["contamination"] == parameters.get("contamination", "auto")


def test_a_bad_threshold_leaves_the_old_one(mixed):
    detector = AutoEncoderOutlierDetector(small(), threshold=0.5).fit(mixed[0])
    for bad in ({"threshold": "high"}, {"threshold": 1.0, "contamination": 0.1}, {"contamination": 0.9}):
        with pytest.raises(ValueError, match=r"threshold|contamination"):
            detector.set_threshold(**bad)
        assert (detector.threshold_, detector.threshold, detector.contamination) == (0.5, 0.5, "auto")


def test_the_threshold_is_tuned_on_labelled_rows(mixed):
    X, y = mixed
    detector = AutoEncoderOutlierDetector(small(max_iter=60), novelty=True, threshold=1e9, random_state=0).fit(X, y)
    assert detector.tune_threshold(X, y) is detector
    assert accuracy_score(y, detector.predict(X)) > 0.99
    assert detector.threshold == detector.threshold_
    tuned = detector.threshold_
    for labels, metric, message in (
        (np.ones(len(X)), "f1", "y holds"),
        (np.where(y == 1, 0, 1), "f1", "y holds"),
        (y, "accuracy", "metric='accuracy' must be"),
        (y, ["f1"], "must be a function or one of"),
        (y, lambda y, labels: np.nan, "returned NaN"),
        (y[1:], "f1", "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            detector.tune_threshold(X, labels, metric)
    assert detector.threshold_ == detector.threshold == tuned


def test_novelty_is_that_of_the_fit(mixed):
    detector = AutoEncoderOutlierDetector(n_estimators=4, random_state=0).fit(mixed[0])
    expected = detector.set_threshold(contamination=0.3).threshold_
    assert detector.set_params(novelty=True).set_threshold(contamination=0.3).threshold_ == expected


def test_a_search_over_errors_and_thresholds_trains_once_a_fold(tmp_path, mixed, trainings):
    X, y = mixed
    shuffled = np.random.default_rng(0).permutation(len(X))
    detector = AutoEncoderOutlierDetector(small(max_iter=3), novelty=True, memory=str(tmp_path))
    errors = ["auto", "absolute_error", "whitened"]
    grid = [{"threshold": ["mean+1*std", "median+5*mad"], "error": errors}, {"contamination": [0.05], "error": errors}]
    search = GridSearchCV(detector, grid, scoring="roc_auc", cv=StratifiedKFold(3)).fit(X[shuffled], y[shuffled])
    assert len(search.cv_results_["params"]) == 9
    assert len(trainings) == 3 + 1


def test_p_values_are_ranks_among_held_out_rows(mixed):
    X, y = mixed
    detector = AutoEncoderOutlierDetector(small(), novelty=True, calibration_fraction=0.5, random_state=0).fit(X, y)
    errors = -detector.score_samples(X)
    expected = [(1 + (detector._errors >= error).sum()) / 101 for error in errors]
    np.testing.assert_allclose(detector.p_values(X), expected)


def test_p_values_need_held_out_rows(mixed):
    with pytest.raises(ValueError, match=r"set n_estimators=10 and max_samples=0\.8, or calibration_fraction=0\.2"):
        AutoEncoderOutlierDetector(small()).fit(mixed[0]).p_values(mixed[0])


@pytest.mark.parametrize("bagging", [{"n_estimators": 10, "max_samples": 0.5}, {"n_estimators": 5}], ids=str)
def test_p_values_from_out_of_bag_errors_are_valid(bagging):
    """Of normal rows at most a share alpha, but for chance, has a p-value of alpha or less."""
    rng, shares = np.random.default_rng(0), []
    loading, levels = rng.normal(size=(2, 6)), np.array([0.02, 0.05, 0.1, 0.2, 0.5])
    linear = AutoEncoderTransformer(2, hidden_layer_sizes=(), max_iter=2, batch_size=64)
    for seed in range(40):
        X = rng.normal(size=(700, 2)) @ loading + 0.3 * rng.normal(size=(700, 6))
        detector = AutoEncoderOutlierDetector(linear, novelty=True, random_state=seed, **bagging).fit(X[:200])
        shares.append((detector.p_values(X[200:])[:, None] <= levels).mean(0))
    shares = np.mean(shares, axis=0)
    # a share varies by 0.02 at most from fit to fit: by 0.003 in the mean of 40
    assert (shares <= 1.1 * levels + 0.006).all()
    assert (shares[1:] >= 0.75 * levels[1:]).all()


def test_p_values_of_a_bag_are_ranks_among_out_of_bag_errors(mixed):
    X, y = mixed
    detector = AutoEncoderOutlierDetector(small(), novelty=True, n_estimators=3, max_samples=0.5, random_state=0)
    errors = -detector.fit(X, y).score_samples(X)
    out_of_bag = detector.autoencoder_.out_of_bag_errors_
    known = out_of_bag[~np.isnan(out_of_bag)]
    assert 100 < len(known) < 200
    expected = [(1 + (known >= error).sum()) / (1 + len(known)) for error in errors]
    np.testing.assert_allclose(detector.p_values(X), expected)


def test_the_false_discovery_rate_is_as_stated():
    """Bates et al. 2023: over 200 splits, at a stated rate of 10 %."""
    rng, rates = np.random.default_rng(0), []
    loading = rng.normal(size=(2, 6))
    linear = AutoEncoderTransformer(2, hidden_layer_sizes=(), max_iter=2, batch_size=64)
    for seed in range(200):
        X = rng.normal(size=(1300, 2)) @ loading + 0.3 * rng.normal(size=(1300, 6))
        X[1270:] += 5 * rng.normal(size=(30, 6))
        detector = AutoEncoderOutlierDetector(linear, novelty=True, calibration_fraction=0.8, random_state=seed)
        found = false_discovery_control(detector.fit(X[:1000]).p_values(X[1000:])) <= 0.1
        rates.append(found[:270].sum() / max(1, found.sum()))
    assert 0.07 <= np.mean(rates) <= 0.11


@pytest.mark.parametrize("autoencoder", [None, small(), DenoisingAutoEncoder(2, max_iter=10)], ids=repr)
@pytest.mark.parametrize("error", ["auto", "whitened"])
def test_explanations_sum_to_the_error(autoencoder, error, mixed):
    X = pd.DataFrame(mixed[0], columns=list("abcdef"), index=np.arange(220)[::-1])
    detector = AutoEncoderOutlierDetector(autoencoder, error=error, random_state=0).fit(X)
    explanation = detector.explain(X)
    np.testing.assert_allclose(explanation.sum(axis=1), -detector.score_samples(X), rtol=1e-6)
    assert explanation.index.equals(X.index)
    assert explanation.columns.equals(X.columns)
    assert list(detector.fit(X.to_numpy()).explain(X.to_numpy()).columns) == ["x0", "x1", "x2", "x3", "x4", "x5"]


@pytest.mark.parametrize("novelty", [False, True])
def test_a_corrupted_feature_is_named(novelty):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 3)) @ rng.normal(size=(3, 8)) + 0.1 * rng.normal(size=(1000, 8))
    corrupted, feature = X[800:].copy(), rng.integers(8, size=200)
    corrupted[np.arange(200), feature] += 8 * rng.choice([-1, 1], 200)
    # what a network without noise makes of one odd value spreads over all: it names the feature in 69 % of these rows
    for autoencoder in (None, DenoisingAutoEncoder(3, noise_level=1.0)):
        detector = AutoEncoderOutlierDetector(autoencoder, novelty=novelty, random_state=0).fit(X[:800])
        first = detector.explain(corrupted).to_numpy().argmax(1)
        assert np.mean(first == feature) >= 0.95


def test_reconstruct_is_the_autoencoders(mixed):
    detector = AutoEncoderOutlierDetector(small()).fit(mixed[0])
    np.testing.assert_array_equal(detector.reconstruct(mixed[0]), detector.autoencoder_.reconstruct(mixed[0]))


# ---- interruption and bad input ----------------------------------------------------------------------------


def test_sigint_leaves_a_usable_detector(mixed):
    X, _ = mixed
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        callback = EveryEpoch(lambda epoch, _: signal.raise_signal(signal.SIGINT) if epoch == 4 else None)
        detector = AutoEncoderOutlierDetector(small(max_iter=500).set_callbacks(callback))
        with pytest.raises(KeyboardInterrupt) as caught:
            detector.fit(X)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "weights of epoch" in caught.value.__notes__[0]
    assert detector.autoencoder_.n_iter_ == 5
    assert set(detector.predict(X)) <= {-1, 1}


def test_an_interrupted_fit_leaves_no_errors_to_a_complete_one(tmp_path, mixed, monkeypatch):
    X, _ = mixed
    detector = AutoEncoderOutlierDetector(small(max_iter=30), memory=str(tmp_path), random_state=0)
    add = History.add

    def interrupt(history, *args):
        add(history, *args)
        if len(history.epochs) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(History, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(X)
    monkeypatch.undo()
    detector.score_samples(X)
    complete = detector.fit(X)
    assert complete.autoencoder_.n_iter_ == 30
    np.testing.assert_allclose(complete.score_samples(X), complete.autoencoder_.score_samples(X), rtol=1e-6)


def test_divergence_leaves_the_earlier_detector(mixed):
    X, _ = mixed
    detector = AutoEncoderOutlierDetector(small()).fit(X)
    scores = detector.score_samples(X)
    with pytest.raises(FloatingPointError, match="diverged"):
        detector.set_params(autoencoder__learning_rate_init=1e30).fit(X[:, :4])
    assert detector.n_features_in_ == 6
    assert np.array_equal(detector.score_samples(X), scores)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"contamination": 0.0}, r"'contamination' parameter of .* range \(0.0, 0.5\]"),
        ({"contamination": 0.6}, "'contamination' parameter"),
        ({"threshold": "mean+huge"}, "threshold='mean.huge' is not a rule. Rules are"),
        ({"threshold": float("inf")}, "'threshold' parameter"),
        ({"autoencoder": StackedAutoEncoderClassifier()}, "'autoencoder' parameter"),
        ({"threshold": 1.0, "contamination": 0.1}, "both set it: leave one of them at 'auto'"),
        ({"autoencoder": StandardScaler()}, "'autoencoder' parameter"),
        ({"autoencoder": small(device="tpu")}, "device='tpu' is unknown"),
        ({"memory": 3}, "'memory' parameter"),
        ({"error": "squared"}, "'error' parameter"),
        ({"calibration_fraction": 1.0}, "'calibration_fraction' parameter"),
        ({"calibration_fraction": 1e-6}, "calibration_fraction=1e-06 of 220 rows leaves no row to calibrate on"),
        ({"max_samples": 1.5}, "'max_samples' parameter"),
    ],
)
def test_bad_parameters_are_named_before_training(parameters, message, mixed, trainings):
    with pytest.raises(ValueError, match=message):
        AutoEncoderOutlierDetector(**parameters).fit(mixed[0])
    assert not trainings


def test_labels_that_leave_nothing_or_do_not_fit(mixed):
    X, y = mixed
    detector = AutoEncoderOutlierDetector(small(), novelty=True)
    with pytest.raises(ValueError, match="y labels every row -1"):
        detector.fit(X, -np.ones(len(X)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        detector.fit(X, y[:-1])
    assert not hasattr(detector, "n_features_in_")
    with pytest.warns(UserWarning, match=r"labels \[0, 1\] and no -1.*np.where"):
        detector.fit(X, 1 * (y == -1))


# ---- real data ---------------------------------------------------------------------------------------------


def test_benign_tumours_are_normal():
    data = load_breast_cancer()
    y = np.where(data.target == 1, 1, -1)  # benign is normal
    X_train, X_test, y_train, y_test = train_test_split(data.data, y, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X_train[y_train == 1])
    detector = AutoEncoderOutlierDetector(DenoisingAutoEncoder(noise_level=1.0), novelty=True, random_state=0)
    detector.fit(scaler.transform(X_train), y_train)
    assert roc_auc_score(y_test, detector.score_samples(scaler.transform(X_test))) > 0.9


def test_ecg5000_by_the_tutorials_protocol(shared_data):
    ecg = shared_data("ecg5000")
    X, y = np.r_[ecg["X_train"], ecg["X_test"]], np.r_[ecg["y_train"], ecg["y_test"]]
    X_train, X_test, y_train, y_test = train_test_split(X, 1 - 2 * y, test_size=0.2, random_state=21)
    low, high = X_train.min(), X_train.max()
    autoencoder = AutoEncoderTransformer(8, hidden_layer_sizes=(32, 16), loss="absolute_error", random_state=0)
    detector = AutoEncoderOutlierDetector(autoencoder, novelty=True, threshold="mean+1*std")
    detector.fit((X_train - low) / (high - low), y_train)
    X_test = (X_test - low) / (high - low)
    assert accuracy_score(y_test, detector.predict(X_test)) >= 0.94
    assert roc_auc_score(y_test, detector.score_samples(X_test)) >= 0.96


def test_ecg5000_with_noise(shared_data):
    """A denoising autoencoder, trained on normal rows as they are; the threshold is from training rows only."""
    ecg = shared_data("ecg5000")
    X, y = np.r_[ecg["X_train"], ecg["X_test"]], 1 - 2 * np.r_[ecg["y_train"], ecg["y_test"]].astype(int)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=21)
    autoencoder = DenoisingAutoEncoder(
        4, hidden_layer_sizes=(64, 32), activation="silu", noise_level=1.0, max_iter=30, random_state=0
    )
    detector = AutoEncoderOutlierDetector(autoencoder, novelty=True).fit(X_train, y_train)
    assert roc_auc_score(y_test, detector.score_samples(X_test)) >= 0.99
    assert f1_score(y_test, detector.predict(X_test), pos_label=-1) >= 0.975
