import signal

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_base import EveryEpoch
from test_trained_once import trainings  # noqa: F401 - a fixture

import skae.outliers.bagging
import skae.training.loop
from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder
from skae.model_selection import BatchedGridSearchCV
from skae.outliers.bagging import BaggedAutoEncoders
from skae.outliers.scaling import ColumnScaler
from skae.training import summarize


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(60, 4)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 0.0, 100.0]


def small(kind=AutoEncoderTransformer, **parameters):
    return kind(1, **{"hidden_layer_sizes": (4,), "max_iter": 3, **parameters})


def new_rows(rows):
    """200 rows with twice the spread of the training rows."""
    return rows.mean(0) + 2 * rows.std(0) * np.random.default_rng(1).normal(size=(200, 4))


def errors_by_hand(bag, X, function=lambda autoencoder, Z: -autoencoder.score_samples(Z)):
    """What each member makes of rows, (n_members, ...), over its usual error where the bag is scale-free."""
    Z = bag.scale(X)
    return np.stack([function(a, Z) for a in bag.autoencoders_])


def usual_errors(bag, X):
    """Each member's median error on the rows that it was not trained on, 1 where the bag is not scale-free."""
    errors = errors_by_hand(bag, X)
    left_out = left_out_by_hand(bag, len(X))
    return np.array([np.median(e[m]) if bag.scale_free else 1.0 for e, m in zip(errors, left_out, strict=True)])


def left_out_by_hand(bag, n):
    """Which rows each member was not trained on, (n_members, n)."""
    return np.stack([~np.isin(np.arange(n), member.rows) for member in bag._members])


TWO_BAGS = [(small(), 3, 10), (small(DenoisingAutoEncoder, loss="absolute_error"), 4, 0.5)]
BAGS = [
    BaggedAutoEncoders([(small(), 4, 0.5)], random_state=0),
    BaggedAutoEncoders([(small(), 4, 0.5)], scale_free=True, random_state=0),
    BaggedAutoEncoders(TWO_BAGS, scale_free=True, random_state=0),
]
bags = pytest.mark.parametrize("bag", BAGS, ids=["one", "scale_free", "two"])


# ---- what members are trained on ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:max_samples=1000 exceeds the 60 rows")
@pytest.mark.parametrize(("max_samples", "n"), [(10, 10), (0.25, 15), (1000, 60), (1.0, 60), (0.001, 1)])
@pytest.mark.parametrize("batched", [True, False])
def test_each_member_is_trained_on_rows_of_its_own(batched, max_samples, n, rows, monkeypatch):
    seen = []
    monkeypatch.setattr("skae.estimators.preparation.summarize", lambda X: (seen.append(X), summarize(X))[1])
    autoencoder = small(learning_rate="cosine" if batched else "adaptive")
    bag = BaggedAutoEncoders([(autoencoder, 3, max_samples)], random_state=0).fit(rows)
    assert [len(X) for X in seen] == [n] * 3
    assert all(len(np.unique(X, axis=0)) == n for X in seen)
    assert len({X.tobytes() for X in seen}) == 3
    assert all(np.array_equal(X, rows[m.rows]) for X, m in zip(seen, bag._members, strict=True))


def test_more_rows_than_there_are_warn(rows):
    with pytest.warns(UserWarning, match=r"max_samples=61 exceeds the 60 rows: all are used\."):
        BaggedAutoEncoders([(small(), 2, 61)], random_state=0).fit(rows)


def test_every_bag_is_trained_as_stated(rows):
    bag = clone(BAGS[2]).fit(rows)
    assert [(type(m.autoencoder), m.bag, len(m.rows)) for m in bag._members] == [
        *[(AutoEncoderTransformer, 0, 10)] * 3,
        *[(DenoisingAutoEncoder, 1, 30)] * 4,
    ]
    assert len({m.random_state for m in bag.autoencoders_}) == 7
    assert all(a.n_iter_ == 3 and min(a.loss_curve_[1:]) < a.loss_curve_[0] for a in bag.autoencoders_)
    assert not hasattr(TWO_BAGS[0][0], "n_iter_")  # clones are trained


def test_scale_free_members_are_trained_on_scaled_rows(rows, monkeypatch):
    seen = []
    monkeypatch.setattr("skae.estimators.preparation.summarize", lambda X: (seen.append(X), summarize(X))[1])
    bag = clone(BAGS[1]).fit(rows)
    Z = ColumnScaler(rows).transform(rows)
    assert [X.dtype for X in seen] == [np.float32] * 4
    assert all(np.array_equal(X, Z[m.rows]) for X, m in zip(seen, bag._members, strict=True))


def test_members_of_a_bag_are_autoencoders_trained_alone(rows):
    bag = clone(BAGS[2]).fit(rows)
    Z = bag.scale(rows)
    for member in bag._members:
        alone = clone(member.autoencoder).fit(Z[member.rows])
        np.testing.assert_allclose(member.autoencoder.score_samples(Z), alone.score_samples(Z), rtol=1e-3, atol=1e-5)


# ---- errors --------------------------------------------------------------------------------------------------


@bags
def test_an_error_is_the_mean_of_a_bag_or_the_largest_of_several(bag, rows):
    bag = clone(bag).fit(rows)
    new = new_rows(rows)
    relative = errors_by_hand(bag, new) / usual_errors(bag, rows)[:, None]
    number = np.array([member.bag for member in bag._members])
    of_bags = np.stack([relative[number == k].mean(0) for k in range(len(bag.bags))])
    # float32 products round usual errors otherwise in other company
    np.testing.assert_allclose(-bag.score_samples(new), of_bags.max(0), rtol=1e-4)
    if len(of_bags) > 1:
        assert 0 < (of_bags[0] > of_bags[1]).mean() < 1  # either is the worse of some rows


@bags
def test_the_parts_and_the_reconstruction_are_the_worst_bags(bag, rows):
    bag = clone(bag).fit(rows)
    new = new_rows(rows)
    scores, parts = bag.score_samples(new), bag.feature_errors(new)
    np.testing.assert_allclose(parts.sum(1), -scores, rtol=1e-9)
    number = np.array([member.bag for member in bag._members])
    relative = errors_by_hand(bag, new) / usual_errors(bag, rows)[:, None]
    worst = np.stack([relative[number == k].mean(0) for k in range(len(bag.bags))]).argmax(0)
    feature_errors = errors_by_hand(bag, new, lambda a, Z: a.feature_errors(Z)) / usual_errors(bag, rows)[:, None, None]
    restored = errors_by_hand(bag, new, lambda a, Z: a.reconstruct(Z)).astype(np.float64)
    of_bags = [np.stack([x[number == k].mean(0) for k in range(len(bag.bags))]) for x in (feature_errors, restored)]
    expected_parts, expected_rows = (x[worst, np.arange(200)] for x in of_bags)
    np.testing.assert_allclose(parts, expected_parts, rtol=1e-3, atol=1e-5)
    if bag.scale_free:
        expected_rows = ColumnScaler(rows).inverse_transform(expected_rows)
    # members' reconstructions of scaled rows are float32
    np.testing.assert_allclose(bag.reconstruct(new), expected_rows, rtol=1e-5, atol=1e-5 * np.abs(expected_rows).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reconstructions_have_the_unit_and_type_of_the_rows(dtype, rows):
    X = rows.astype(dtype)
    bag = BaggedAutoEncoders([(small(max_iter=100), 3, 50)], scale_free=True, random_state=0).fit(X)
    restored = bag.reconstruct(X)
    assert restored.dtype == dtype
    # one component of four columns leaves much, but each is near its own mean
    assert (np.abs((restored - X).mean(0)) < 0.2 * X.std(0)).all()
    assert (restored.std(0) < 1.5 * X.std(0)).all()


def test_many_rows_are_scored_in_chunks(rows, monkeypatch):
    bag = clone(BAGS[2]).fit(rows)
    whole = bag.score_samples(rows), bag.feature_errors(rows), bag.reconstruct(rows)
    monkeypatch.setattr(skae.outliers.bagging, "CHUNK_ROWS", 7)
    for found, expected in zip(
        (bag.score_samples(rows), bag.feature_errors(rows), bag.reconstruct(rows)), whole, strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


# ---- rows that a member was not trained on -------------------------------------------------------------------


@bags
def test_out_of_bag_errors_are_those_of_members_that_did_not_see_a_row(bag, rows):
    bag = clone(bag).fit(rows)
    left_out = left_out_by_hand(bag, 60)
    relative = errors_by_hand(bag, rows) / usual_errors(bag, rows)[:, None]
    expected = []
    for i in range(60):
        of_bags = [
            [relative[k, i] for k, m in enumerate(bag._members) if m.bag == b and left_out[k, i]]
            for b in range(len(bag.bags))
        ]
        expected.append(max((np.mean(e) for e in of_bags if e), default=np.nan))
    np.testing.assert_allclose(bag.out_of_bag_errors_, expected, rtol=1e-4)
    if bag.scale_free:
        assert 0.5 < np.nanmedian(bag.out_of_bag_errors_) < 2  # over the usual one


def test_a_bag_of_all_rows_leaves_the_out_of_bag_errors_to_the_others(rows):
    bag = BaggedAutoEncoders([(small(), 2, 1.0), (small(), 6, 0.5)], random_state=0).fit(rows)
    errors, left_out = errors_by_hand(bag, rows)[2:], left_out_by_hand(bag, 60)[2:]
    seen_by_all = ~left_out.any(0)
    np.testing.assert_array_equal(np.isnan(bag.out_of_bag_errors_), seen_by_all)
    expected = (errors * left_out).sum(0)[~seen_by_all] / left_out.sum(0)[~seen_by_all]
    np.testing.assert_allclose(bag.out_of_bag_errors_[~seen_by_all], expected, rtol=1e-4)


@pytest.mark.parametrize(("error", "power"), [("squared_error", 2), ("absolute_error", 1)])
def test_other_measures_have_out_of_bag_errors_too(error, power, rows):
    detector = AutoEncoderOutlierDetector(small(), n_estimators=3, max_samples=0.5, error=error, random_state=0)
    bag = detector.fit(rows).autoencoder_
    restored, left_out = errors_by_hand(bag, rows, lambda a, Z: a.reconstruct(Z)), left_out_by_hand(bag, 60)
    expected = [
        np.mean(np.abs(rows[i] - restored[left_out[:, i], i].mean(0)) ** power) for i in np.flatnonzero(left_out.any(0))
    ]
    assert 0 < len(expected) < 60  # some row is seen by all three
    np.testing.assert_allclose(detector._errors, np.sort(expected), rtol=1e-5)


@pytest.mark.parametrize("error", ["auto", "squared_error", "whitened"])
def test_rows_that_every_member_saw_have_no_error(error, rows):
    detector = AutoEncoderOutlierDetector(small(), n_estimators=2, max_samples=0.7, error=error, random_state=0)
    bag = detector.fit(rows).autoencoder_
    seen_by_all = ~left_out_by_hand(bag, 60).any(0)
    assert 0 < seen_by_all.sum() < 60
    np.testing.assert_array_equal(np.isnan(bag.out_of_bag_errors_), seen_by_all)
    assert len(detector._errors) == 60 - seen_by_all.sum()
    assert np.isfinite(detector._errors).all()


def test_members_of_all_rows_have_no_out_of_bag_errors(rows):
    detector = AutoEncoderOutlierDetector(small(), n_estimators=2, max_samples=1.0, random_state=0).fit(rows)
    assert detector.autoencoder_.out_of_bag_errors_ is None
    np.testing.assert_allclose(detector._errors, np.sort(-detector.score_samples(rows)))
    with pytest.raises(ValueError, match="p_values"):
        detector.p_values(rows)


@pytest.mark.parametrize("novelty", [False, True])
@pytest.mark.parametrize("error", ["auto", "squared_error"])
def test_out_of_bag_errors_set_the_threshold(error, novelty, rows):
    parameters = {"n_estimators": 5, "max_samples": 0.5, "error": error, "novelty": novelty, "random_state": 0}
    detector = AutoEncoderOutlierDetector(small(), **parameters)
    for parameters in ({"threshold": "mean+2*std"}, {"contamination": 0.2}):
        fitted = clone(detector).set_params(**parameters).fit(rows)
        e = fitted._errors
        of_all = -fitted.score_samples(rows)
        assert not np.isclose(e, np.sort(of_all)[: len(e)]).all()
        # without novelty a contamination is a share of what `predict` says, by all members
        expected = e.mean() + 2 * e.std() if "threshold" in parameters else np.percentile(e if novelty else of_all, 80)
        np.testing.assert_allclose(fitted.threshold_, expected, rtol=1e-3)


# ---- defaults, seeds, bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "sizes"),
    [
        ({}, None),
        ({"n_estimators": 3}, [48] * 3),
        ({"max_samples": 0.5}, [30]),
        ({"n_estimators": 2, "max_samples": 9}, [9] * 2),
    ],
    ids=str,
)
def test_auto_is_one_network_on_all_rows_or_several_on_four_fifths(parameters, sizes, rows):
    model = AutoEncoderOutlierDetector(small(), **parameters, random_state=0).fit(rows).autoencoder_
    if sizes is None:
        assert type(model) is AutoEncoderTransformer
    else:
        assert [len(member.rows) for member in model._members] == sizes


def test_rows_that_hardly_any_member_left_out(rows):
    detector = AutoEncoderOutlierDetector(small(), n_estimators=2, max_samples=58, random_state=0)
    with pytest.warns(UserWarning, match="Only [234] of 60 rows were left out by a member"):
        detector.fit(rows)


def test_no_row_measured_that_a_member_left_out(rows, monkeypatch):
    monkeypatch.setattr(skae.outliers.bagging, "MAX_MEASURED", 3)
    detector = AutoEncoderOutlierDetector(small(), n_estimators=1, max_samples=59, random_state=0)
    with pytest.warns(UserWarning, match="Only 0 of 3 rows"):
        detector.fit(rows)
    assert detector.autoencoder_.out_of_bag_errors_ is None
    assert np.isfinite(detector.threshold_)


def test_one_row_is_not_all_rows(rows):
    detector = AutoEncoderOutlierDetector(small(), max_samples=1, random_state=0).fit(rows)
    assert [len(member.rows) for member in detector.autoencoder_._members] == [1]


@pytest.mark.parametrize("seeded", ["detector", "autoencoder"])
def test_a_detector_of_members_is_reproducible(seeded, rows):
    def scores(seed):
        autoencoder = small(random_state=seed if seeded == "autoencoder" else None)
        random_state = seed if seeded == "detector" else None
        detector = AutoEncoderOutlierDetector(autoencoder, n_estimators=4, max_samples=16, random_state=random_state)
        return detector.fit(rows).score_samples(rows)

    np.testing.assert_array_equal(scores(0), scores(0))
    assert not np.array_equal(scores(0), scores(1))


def test_what_a_fit_refuses_members_refuse(rows):
    with pytest.raises(ValueError, match="loss='binary_cross_entropy' needs values in"):
        BaggedAutoEncoders([(small(loss="binary_cross_entropy"), 3, 10)]).fit(rows)
    with pytest.raises(ValueError, match="'max_iter' parameter"):
        BaggedAutoEncoders([(small(), 1, 10), (small(max_iter=0), 3, 10)]).fit(rows)


# ---- interruptions and divergence ----------------------------------------------------------------------------


def test_members_that_diverge_say_so(rows):
    diverging = small(learning_rate_init=1e30, activation="identity")
    bag = BaggedAutoEncoders([(diverging, 3, 10)], random_state=0)
    with pytest.raises(FloatingPointError, match="learning_rate_init") as caught:
        bag.fit(rows)
    assert any("left out" in note for note in caught.value.__notes__)
    bag = BaggedAutoEncoders([(small(), 2, 30), (diverging, 3, 30)], random_state=0)
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        bag.fit(rows)
    assert [m.bag for m in bag._fitted_members()][:2] == [0, 0]
    assert np.isfinite(bag.score_samples(rows)).all()


@pytest.mark.parametrize("scale_free", [False, True])
def test_an_interruption_leaves_the_members_that_are_fitted(scale_free, rows):
    def interrupt(epoch, fitted):
        epochs.append(epoch)
        if len(epochs) == 5:  # of three a member
            raise KeyboardInterrupt

    epochs: list = []
    autoencoder = small().set_callbacks(EveryEpoch(interrupt))
    bag = BaggedAutoEncoders([(autoencoder, 1, 30), (autoencoder, 3, 20)], scale_free, random_state=0)
    with pytest.raises(KeyboardInterrupt) as caught:
        bag.fit(rows)
    assert "Of 4 members 2 are fitted, the others left out." in caught.value.__notes__
    first, second = bag.autoencoders_
    assert (first.n_iter_, second.n_iter_) == (3, 2)
    relative = errors_by_hand(bag, rows) / np.array(bag._typical)[:, None]
    np.testing.assert_allclose(-bag.score_samples(rows), relative.max(0))  # a bag each
    np.testing.assert_allclose(bag.feature_errors(rows).sum(1), relative.max(0))
    assert len(bag.out_of_bag_errors_) == 60


def test_an_interrupted_batch_keeps_its_best_weights(rows, monkeypatch):
    calls = []
    step = skae.training.loop.make_step

    def interrupting(*args, **kwargs):
        inner = step(*args, **kwargs)

        def counted(*a, **k):
            calls.append(1)
            if len(calls) == 3:  # an epoch is one step
                signal.raise_signal(signal.SIGINT)
            return inner(*a, **k)

        return counted

    monkeypatch.setattr(skae.training.loop, "make_step", interrupting)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    detector = AutoEncoderOutlierDetector(
        small(max_iter=50, batch_size=20), n_estimators=4, max_samples=20, random_state=0
    )
    try:
        with pytest.raises(KeyboardInterrupt):
            detector.fit(rows)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [a.n_iter_ for a in detector.autoencoder_.autoencoders_] == [2] * 4
    assert set(detector.predict(rows)) <= {-1, 1}
    assert np.isfinite(detector.threshold_)


def test_an_interruption_before_the_first_epoch_leaves_no_model(rows, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("skae.estimators.batched_training.train", interrupted)
    detector = AutoEncoderOutlierDetector(small(), n_estimators=4)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(rows)
    assert not hasattr(detector, "n_features_in_")


# ---- searches ------------------------------------------------------------------------------------------------


def mean_decision(detector, X, y=None):
    return detector.decision_function(X).mean()


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: make_pipeline(StandardScaler(), d)], ids=["alone", "pipeline"])
@pytest.mark.parametrize("given", [True, False])
def test_a_search_over_thresholds_trains_each_member_once(given, wrap, rows, trainings):  # noqa: F811
    estimator = wrap(AutoEncoderOutlierDetector(small() if given else None, n_estimators=4, max_samples=10))
    name = next(name for name in estimator.get_params() if name.endswith("threshold"))
    search = BatchedGridSearchCV(
        estimator, {name: ["mean+1*std", "mean+3*std"]}, scoring=mean_decision, cv=3, error_score="raise"
    ).fit(rows)
    assert trainings[0] == []  # none alone
    assert sum(trainings[1]) == 3 * 4 + 4  # of the folds, and of the best
    assert search.cv_results_["mean_test_score"][0] < search.cv_results_["mean_test_score"][1]


def test_planned_fits_are_those_of_a_fit_without_a_plan(rows):
    bag = clone(BAGS[2])
    planned = bag.plan(rows)
    assert [fit.n_rows for fit in planned] == [10] * 3 + [30] * 4
    assert not bag.__sklearn_is_fitted__()
    members = [fit.autoencoder for fit in planned]
    bag.fit(rows)
    assert bag.autoencoders_ == members
    np.testing.assert_array_equal(bag.score_samples(rows), clone(BAGS[2]).fit(rows).score_samples(rows))
    bag.fit(rows.copy())  # a plan serves its rows only
    assert bag.autoencoders_[0] is not members[0]
