"""Categories and holes: how networks take them, what they cost, and what detectors make of them."""

import pickle
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_table_frames import CLASSES, classes, detector, quick, some_holes

from skae import (
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    DenoisingAutoEncoder,
    VariationalAutoEncoder,
)
from skae.corruptions import make_corruption
from skae.model_selection import BatchedGridSearchCV
from skae.networks import DenseNetwork, MemoryNetwork
from skae.objectives.variational import kl_to_standard_normal, normal_draws
from skae.random import RandomStreams
from skae.tables import TableLayout, TableLoss, TableNetwork
from skae.training import bounds

modes = pytest.mark.parametrize("novelty", [True, False])
UNITS = {"squared_error": 1.0, "absolute_error": 1.0, "huber": 0.5}  # losses of a number that is off by 1


def correlated(n, seed, mixed=True):
    """Rows of six numbers that depend on two hidden ones, as do, if mixed, two categories."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    weights = np.random.default_rng(99).normal(size=(2, 6))
    frame = pd.DataFrame(z @ weights + 0.3 * rng.normal(size=(n, 6)), columns=list("uvwxyz"))
    if mixed:
        z = z + 0.3 * rng.normal(size=z.shape)
        frame["a"] = np.array(list("klmn"))[np.digitize(z[:, 0], [-1, 0, 1])]
        frame["b"] = np.array(list("rst"))[np.digitize(z[:, 1], [-0.5, 0.5])]
    return frame


@pytest.fixture(scope="module")
def mixed():
    return correlated(120, 0)


# ---- layouts and losses ----------------------------------------------------------------------------------------

N_LEVELS = (0, 3, 0, 40, 2)
NUMBERS, LEVELS = [0, 2], [1, 4, 3]  # in a raw output, categories of few levels come first


def some_cells(n=200, holes=0.0):
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(n, 5))
    for j in LEVELS:
        cells[:, j] = np.minimum(rng.geometric(2 / (1 + N_LEVELS[j]), size=n), N_LEVELS[j]) - 1
    cells[rng.uniform(size=cells.shape) < holes] = np.nan
    return cells


def layout_of(cells, **parameters):
    return TableLayout.of_cells(cells, N_LEVELS, **parameters)


def random_output(n, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, len(NUMBERS) + sum(N_LEVELS))))


@pytest.mark.parametrize(("name", "at_one"), UNITS.items())
def test_log_frequencies_cost_one_unit_in_each_category(name, at_one):
    cells = some_cells(2000)
    layout = layout_of(cells)
    layout.scale = 1.0
    loss = TableLoss(layout, name)
    assert loss.unit == pytest.approx(at_one)
    logs = [np.log(np.bincount(cells[:, j].astype(int), minlength=N_LEVELS[j]).clip(0.5) / 2000) for j in LEVELS]
    raw = torch.from_numpy(np.tile(np.concatenate([np.zeros(2), *logs]), (2000, 1)))
    costs = loss.elementwise(raw, torch.from_numpy(cells)).mean(0).numpy()
    np.testing.assert_allclose(costs[LEVELS], at_one, rtol=0.01)


def expected_losses(raw, cells, layout, scale_of_loss, number_loss):
    """The formula once more, a cell at a time."""
    losses = np.zeros(cells.shape)
    for i, row in enumerate(cells):
        known = ~np.isnan(row)
        start = len(NUMBERS)
        for place, j in enumerate(NUMBERS):
            losses[i, j] = number_loss(raw[i, place] - row[j]) if known[j] else 0.0
        for j, frequencies in zip(LEVELS, layout.frequencies, strict=True):
            logits = raw[i, start : start + N_LEVELS[j]]
            start += N_LEVELS[j]
            if known[j]:
                level = int(row[j]) if row[j] < N_LEVELS[j] else frequencies.argmin()
                nats = np.log(np.exp(logits).sum()) - logits[level]
                losses[i, j] = nats / -(frequencies * np.log(frequencies)).sum() * scale_of_loss
        losses[i] *= len(row) / max(known.sum(), 1)
    return losses


NUMBER_LOSSES = {
    "squared_error": np.square,
    "absolute_error": np.abs,
    "huber": lambda r: r**2 / 2 if abs(r) < 1 else abs(r) - 0.5,
}


@pytest.mark.parametrize("name", NUMBER_LOSSES)
def test_loss_of_a_mixed_batch_is_its_formula(name):
    cells = some_cells(holes=0.2)
    layout = layout_of(cells)
    for j in LEVELS:
        cells[j::20, j] = N_LEVELS[j]  # not known
    cells[7] = np.nan
    raw = random_output(len(cells))
    losses = TableLoss(layout, name).elementwise(raw, torch.from_numpy(cells)).numpy()
    number_loss = NUMBER_LOSSES[name]
    expected = expected_losses(raw.numpy(), cells, layout, number_loss(layout.scale), number_loss)
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    assert (losses[np.isnan(cells)] == 0).all()


def test_mean_over_a_row_is_that_over_its_known_cells():
    cells = some_cells()
    layout, raw = layout_of(cells), random_output(len(cells))
    loss = TableLoss(layout, "squared_error")
    complete = loss.elementwise(raw, torch.from_numpy(cells)).numpy()
    pierced = np.where(np.random.default_rng(3).uniform(size=cells.shape) < 0.3, np.nan, cells)
    pierced[:, 0] = cells[:, 0]
    means = loss.elementwise(raw, torch.from_numpy(pierced)).mean(-1).numpy()
    expected = np.nanmean(np.where(np.isnan(pierced), np.nan, complete), axis=1)
    np.testing.assert_allclose(means, expected, rtol=1e-12)


def test_a_level_that_is_not_known_costs_what_the_rarest_does():
    cells = some_cells()
    layout, raw = layout_of(cells), random_output(len(cells))
    loss = TableLoss(layout, "squared_error")
    unseen, rarest = cells.copy(), cells.copy()
    for j, frequencies in zip(LEVELS, layout.frequencies, strict=True):
        unseen[:, j], rarest[:, j] = N_LEVELS[j], frequencies.argmin()
    assert loss.elementwise(raw, torch.from_numpy(unseen)).equal(loss.elementwise(raw, torch.from_numpy(rarest)))


def test_a_hole_has_no_gradient():
    cells = torch.from_numpy(some_cells(holes=0.3))
    raw = random_output(len(cells)).requires_grad_()
    TableLoss(layout_of(cells.numpy()), "squared_error").elementwise(raw, cells).sum().backward()
    start, holes = len(NUMBERS), cells.isnan()
    for place, j in enumerate(NUMBERS):
        assert ((raw.grad[:, place] == 0) == holes[:, j]).all()
    for j in LEVELS:
        of_levels = raw.grad[:, start : start + N_LEVELS[j]].abs().sum(1)
        start += N_LEVELS[j]
        assert ((of_levels == 0) == holes[:, j]).all()


@pytest.mark.parametrize("name", UNITS)
def test_gradients_through_network_and_loss_are_those_of_differences(name):
    cells = some_cells(holes=0.2)
    layout = layout_of(cells)
    inner = DenseNetwork((3,), "tanh").build(layout.summary(cells), 2, RandomStreams([0]), False)
    network, loss = TableNetwork(inner, layout).double(), TableLoss(layout, name)
    batch = torch.from_numpy(cells[None, :6])
    parameters = tuple(network.parameters())

    def cost(*values):
        named = dict(zip([n for n, _ in network.named_parameters()], values, strict=True))
        return loss.elementwise(torch.func.functional_call(network, named, (batch,)), batch)

    assert torch.autograd.gradcheck(cost, parameters)


def test_categories_vary_in_the_input_as_numbers_do_on_average():
    cells = some_cells(2000)
    layout = layout_of(cells)
    inputs = layout.expand(torch.from_numpy(cells)).numpy()
    assert inputs.shape == (2000, 2 + 3 + 2 + 32)
    np.testing.assert_allclose(inputs[:, 2:].mean(0), 0, atol=1e-2)
    for columns in (slice(2, 5), slice(5, 7), slice(7, 39)):
        codes = inputs[:, columns]
        pairs = np.square(codes - np.roll(codes, 1, axis=0)).sum(1)
        assert pairs.mean() == pytest.approx(2 * layout.scale**2, rel=0.1)


def test_decoded_logits_are_the_most_probable_levels():
    cells = some_cells()
    raw = random_output(len(cells))
    decoded, start = layout_of(cells).cells(raw).numpy(), len(NUMBERS)
    np.testing.assert_array_equal(decoded[:, NUMBERS], raw[:, :2])
    for j in LEVELS:
        np.testing.assert_array_equal(decoded[:, j], raw[:, start : start + N_LEVELS[j]].argmax(1))
        start += N_LEVELS[j]


# ---- names of levels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rename",
    [
        lambda c: c.map({"k": "Zürich", "l": "", "m": "k", "n": "l"}),
        lambda c: c.map({"k": 4.5, "l": -1, "m": 10, "n": 0}).astype("category"),
        lambda c: c.astype(pd.CategoricalDtype(list("nlkm"))),
        lambda c: c.astype(pd.CategoricalDtype(list("nlkm"), ordered=True)),
        lambda c: c.astype(object),
    ],
)
def test_names_and_order_of_levels_change_nothing(rename, mixed):
    renamed = mixed.assign(a=rename(mixed["a"]))
    for kind in CLASSES:
        before, after = quick(kind).fit(mixed), quick(kind).fit(renamed)
        np.testing.assert_allclose(after.transform(renamed), before.transform(mixed), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(after.score_samples(renamed), before.score_samples(mixed), rtol=1e-5)
    before, after = detector().fit(mixed), detector().fit(renamed)
    np.testing.assert_allclose(after.score_samples(renamed), before.score_samples(mixed), rtol=1e-5)


# ---- holes -----------------------------------------------------------------------------------------------------

SCORERS = {
    "novelty": AutoEncoderOutlierDetector(novelty=True, random_state=0),
    "outliers": AutoEncoderOutlierDetector(random_state=0),
    "denoiser": DenoisingAutoEncoder(2, hidden_layer_sizes=(16,), max_iter=30, random_state=0),
}


@pytest.mark.parametrize("is_mixed", [True, False], ids=["mixed", "numbers"])
@pytest.mark.parametrize("trained_with", [True, False], ids=["trained with", "trained without"])
@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_a_hole_does_not_move_a_normal_row_among_the_others(scorer, trained_with, is_mixed):
    train, test = correlated(600, 0, is_mixed), correlated(600, 1, is_mixed)
    fitted = clone(scorer).fit(some_holes(train, share=0.05) if trained_with else train)
    column = np.random.default_rng(2).integers(test.shape[1], size=len(test))
    pierced = test.mask(np.arange(test.shape[1]) == column[:, None])
    scores = np.r_[fitted.score_samples(test), fitted.score_samples(pierced)]
    assert 0.45 < roc_auc_score(np.arange(1200) >= 600, -scores) < 0.55


@pytest.mark.parametrize("column", ["u", "z", "a", "b"])
def test_filling_a_hole_that_training_had_none_of_does_not_diverge(column):
    train, test = correlated(400, 0), correlated(400, 1)
    fitted = quick(hidden_layer_sizes=(16,), max_iter=30).fit(train)
    pierced = test.assign(**{column: None}).astype(test.dtypes)
    assert fitted.score_samples(pierced).min() > 3 * fitted.score_samples(test).min()


def test_holes_are_filled_better_than_by_means_and_frequent_levels():
    train, test = some_holes(correlated(800, 0), share=0.1), correlated(400, 1)
    pierced = some_holes(test, seed=5, share=0.15)
    denoiser = DenoisingAutoEncoder(
        4, hidden_layer_sizes=(64,), corruption="masking", noise_level=0.2, max_iter=40, random_state=0
    ).fit(train)
    made, holes = denoiser.predict(pierced), pierced.isna().to_numpy()
    means = SimpleImputer().fit(train.iloc[:, :6]).transform(pierced.iloc[:, :6])
    truth, of_numbers = test.iloc[:, :6].to_numpy(), holes[:, :6]
    errors = [np.sqrt(np.square(x - truth)[of_numbers].mean()) for x in (made.iloc[:, :6].to_numpy(), means)]
    assert errors[0] < 0.7 * errors[1]
    for j, name in enumerate("ab", 6):
        right = (made[name] == test[name])[holes[:, j]].mean()
        assert right > 1.2 * (train[name].mode()[0] == test[name])[holes[:, j]].mean()


# ---- relations between columns ---------------------------------------------------------------------------------


@modes
def test_a_category_that_does_not_go_with_a_number_is_found_and_explained(novelty):
    rng = np.random.default_rng(0)
    level = rng.integers(4, size=600)
    frame = pd.DataFrame({"number": 2.0 * level + 0.2 * rng.normal(size=600), "level": np.array(list("abcd"))[level]})
    frame["other"], frame["more"] = rng.normal(size=600), rng.choice(list("xyz"), size=600)
    broken = np.arange(600) < 24
    frame.loc[broken, "level"] = np.array(list("abcd"))[(level[broken] + rng.integers(1, 4, size=24)) % 4]
    fitted = AutoEncoderOutlierDetector(novelty=novelty, random_state=0)
    fitted.fit(frame[~broken] if novelty else frame)
    assert roc_auc_score(broken, -fitted.score_samples(frame)) >= 0.95
    largest = fitted.explain(frame[broken]).idxmax(axis=1)
    assert largest.isin(["number", "level"]).mean() >= 0.9


def test_a_thousand_levels_are_told_apart():
    rng = np.random.default_rng(0)
    level = np.r_[np.arange(1000), rng.integers(1000, size=4000)]
    frame = pd.DataFrame({"level": level.astype(str), "same": (level * 7).astype(str), "x": rng.normal(size=5000)})
    fitted = quick(n_components=48, hidden_layer_sizes=(128,), max_iter=15, batch_size=128).fit(frame)
    first = next(fitted.encoder_.parameters())
    assert first.shape[-2] - 1 <= 2 * 32 + 1
    made = fitted.reconstruct(frame)
    assert (made["level"] == frame["level"]).mean() > 0.5
    # what is missing in one column is known from the other
    filled = fitted.reconstruct(frame.assign(level=None))
    assert (filled["level"] == frame["level"]).mean() > 0.05


# ---- corruptions -----------------------------------------------------------------------------------------------


def corrupted_cells(corruption, level, cells, layout):
    corrupt = make_corruption(corruption, level, partial(bounds, cells), "cpu", layout)
    x = torch.from_numpy(cells[None].astype(np.float32))
    return x[0].numpy(), corrupt(x, RandomStreams([0]))[0].numpy()


def test_gaussian_noise_swaps_categories_as_often_as_it_moves_numbers():
    cells = some_cells(20_000, holes=0.1)
    layout = layout_of(cells)
    before, after = corrupted_cells("gaussian", 0.8, cells, layout)
    known, share = ~np.isnan(before), 0.8**2 / (2 * layout.scale**2)
    for j, frequencies in zip(LEVELS, layout.frequencies, strict=True):
        both = known[:, j] & ~np.isnan(after[:, j])
        assert set(after[both, j]) <= set(before[both, j])
        changed = (after[both, j] != before[both, j]).mean()
        assert changed == pytest.approx(share * (1 - np.square(frequencies).sum()), rel=0.1)
    for j in NUMBERS:
        assert (after - before)[known[:, j], j].std() == pytest.approx(0.8, rel=0.03)


@pytest.mark.parametrize("corruption", ["gaussian", lambda x, generator: x + 1.0], ids=["gaussian", "callable"])
def test_noise_leaves_holes_holes(corruption):
    cells = some_cells(holes=0.2)
    before, after = corrupted_cells(corruption, 0.5, cells, layout_of(cells))
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))


def test_a_callable_changes_numbers_only():
    cells = some_cells(holes=0.2)
    before, after = corrupted_cells(lambda x, generator: x + 1.0, 0.5, cells, layout_of(cells))
    np.testing.assert_array_equal(after[:, LEVELS], before[:, LEVELS])
    np.testing.assert_array_equal(after[:, NUMBERS], before[:, NUMBERS] + 1)


def test_masked_values_of_tables_are_holes_and_those_of_arrays_0():
    cells = some_cells(2000)
    before, after = corrupted_cells("masking", 0.3, cells, layout_of(cells, has_all_flags=True))
    np.testing.assert_allclose(np.isnan(after).mean(0), 0.3, atol=0.05)
    np.testing.assert_array_equal(after[~np.isnan(after)], before[~np.isnan(after)])
    before, after = corrupted_cells("masking", 0.3, cells, None)
    assert set(after[after != before]) == {0}


def test_swapped_values_are_those_of_other_rows():
    cells = some_cells(2000)
    before, after = corrupted_cells("swap", 0.5, cells, layout_of(cells))
    assert all(set(after[:, j]) <= set(before[:, j]) for j in range(5))
    assert (after[:, 0] != before[:, 0]).mean() == pytest.approx(0.5, abs=0.05)
    assert (after[:, 3] != before[:, 3]).any()


# ---- fits that continue, searches, pipelines -------------------------------------------------------------------


@classes
def test_partial_fit_keeps_the_levels_of_its_first_call(kind, mixed):
    known = mixed[mixed["a"] != "k"]
    fitted = quick(kind).partial_fit(known).partial_fit(mixed)
    assert set(fitted.reconstruct(mixed)["a"]) <= set("lmn")
    assert np.isfinite(fitted.score_samples(mixed)).all()


@classes
def test_holes_may_come_in_a_later_partial_fit(kind, mixed):
    for frame in (mixed, mixed[list("uvw")]):
        fitted = quick(kind).partial_fit(frame).partial_fit(some_holes(frame)).partial_fit(frame)
        assert np.isfinite(fitted.score_samples(some_holes(frame, seed=1))).all()


@classes
def test_warm_start_does_not_change_what_is_a_category(kind, mixed):
    frame = mixed.assign(i=np.arange(120) % 3)
    fitted = quick(kind, warm_start=True).fit(frame)
    assert fitted.fit(frame).n_iter_ == 6
    with pytest.raises(ValueError, match="categorical_features="):
        fitted.set_params(categorical_features=["a", "b", "i"]).fit(frame)


def test_columns_of_a_pipeline(mixed):
    numbers = ColumnTransformer(
        [("scaled", StandardScaler(), list("uvwxyz"))], remainder="passthrough", verbose_feature_names_out=False
    )
    pipeline = make_pipeline(numbers, quick()).set_output(transform="pandas")
    Z = pipeline.fit_transform(mixed)
    assert list(Z.columns) == list(pipeline.get_feature_names_out())
    assert list(Z.columns) == ["autoencodertransformer0", "autoencodertransformer1"]
    made = pipeline[-1].inverse_transform(Z)
    assert set(made["a"]) <= set(mixed["a"])


def test_grid_search_over_a_detector_of_a_table(mixed):
    labels = np.where(np.arange(len(mixed)) % 10, 1, -1)
    search = GridSearchCV(
        detector(novelty=True), {"n_estimators": [2, 3]}, cv=2, scoring="roc_auc", error_score="raise"
    ).fit(some_holes(mixed), labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("is_mixed", [True, False], ids=["mixed", "numbers"])
@classes
def test_batched_search_finds_what_a_search_finds(kind, is_mixed, mixed):
    frame = mixed if is_mixed else mixed[list("uvwx")]
    searches = [
        S(quick(kind), {"learning_rate_init": [1e-3, 1e-2]}, cv=2, error_score="raise").fit(frame)
        for S in (GridSearchCV, BatchedGridSearchCV)
    ]
    expected, found = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def gives_a_frame(estimator, X, y=None):
    return float(isinstance(estimator.reconstruct(X), pd.DataFrame))


def test_scorers_of_a_batched_search_see_frames(mixed):
    search = BatchedGridSearchCV(quick(), {"alpha": [0.0, 0.1]}, cv=2, scoring=gives_a_frame).fit(mixed[list("uvw")])
    assert (search.cv_results_["mean_test_score"] == 1).all()


def test_cache_tells_categories_from_numbers(tmp_path, mixed):
    frame = mixed[list("uv")].assign(i=np.arange(120) % 3)
    for novelty in (True, False):
        for chosen in (None, ["i"]):
            cached, fresh = (
                detector(novelty=novelty, categorical_features=chosen, memory=memory).fit(frame)
                for memory in (joblib.Memory(tmp_path, verbose=0), None)
            )
            np.testing.assert_array_equal(cached.score_samples(frame), fresh.score_samples(frame))


GIVEN = {
    "one": {},
    "held out": {"calibration_fraction": 0.3},
    "members": {"n_estimators": 3, "max_samples": 0.5},
    "labelled": {"novelty": True},
}


@pytest.mark.parametrize("parameters", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("chosen", [["a", "b"], [6, 7], [False] * 6 + [True] * 2])
def test_a_given_autoencoder_may_say_which_columns_are_categories(chosen, parameters, mixed):
    y = np.where(np.arange(120) < 20, -1, 1) if "novelty" in parameters else None
    by_itself = AutoEncoderOutlierDetector(quick(categorical_features=chosen), random_state=0, **parameters)
    by_dtype = AutoEncoderOutlierDetector(quick(), random_state=0, **parameters)
    scores = [fitted.fit(mixed, y).score_samples(mixed) for fitted in (by_itself, by_dtype)]
    np.testing.assert_array_equal(*scores)


def test_a_bag_of_few_rows_knows_the_levels_of_all():
    frame = pd.DataFrame({"x": np.arange(200.0), "a": (np.arange(200) // 10).astype(str)})
    fitted = AutoEncoderOutlierDetector(quick(), n_estimators=3, max_samples=10, random_state=0).fit(frame)
    assert np.isfinite(fitted.score_samples(frame)).all()
    assert set(fitted.reconstruct(frame)["a"]) <= set(frame["a"])


def test_a_bag_reconstructs_levels_that_most_members_do():
    rng = np.random.default_rng(0)
    level = rng.integers(6, size=200)
    frame = pd.DataFrame({"x": rng.normal(size=200), "a": np.array(list("abcdef"))[level], "y": level + 0.0})
    fitted = AutoEncoderOutlierDetector(quick(max_iter=2), n_estimators=5, max_samples=0.3, random_state=0).fit(frame)
    cells = fitted._check_rows(frame)
    votes = np.stack([member._reconstruct_checked(cells)[:, 1] for member in fitted.autoencoder_.autoencoders_])
    assert (votes != votes[0]).any()
    counts = np.stack([(votes == k).sum(0) for k in range(6)])
    made = fitted._table.columns[1].levels.get_indexer(fitted.reconstruct(frame)["a"])
    assert (counts[made, np.arange(200)] > 0).all()
    is_majority = counts.max(0) >= 3
    assert (made == counts.argmax(0))[is_majority].all()


def test_memory_networks_take_tables(mixed):
    fitted = DenoisingAutoEncoder(16, network=MemoryNetwork(), max_iter=3, random_state=0).fit(some_holes(mixed))
    assert np.isfinite(fitted.score_samples(mixed)).all()


# ---- densities -------------------------------------------------------------------------------------------------


def test_drawn_rows_are_a_frame(mixed):
    drawn = quick(VariationalAutoEncoder).fit(some_holes(mixed)).sample(7)
    pd.testing.assert_series_equal(drawn.dtypes, mixed.dtypes)
    assert len(drawn) == 7
    assert not drawn.isna().any(axis=None)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_bound_counts_the_nats_of_categories_and_nothing_for_holes(share, mixed):
    fitted = quick(VariationalAutoEncoder, n_draws=4, max_iter=10).fit(some_holes(mixed))
    frame = some_holes(mixed, seed=1, share=share)
    cells = fitted._check_rows(frame)
    network, x = fitted._network, torch.from_numpy(cells[None]).float()
    log_s, layout = network.likelihood.log_scale.double(), fitted._layout
    with torch.no_grad():
        mean, log_variance = network.posterior(x)
        bounds = []
        for draw in normal_draws(4, 2, fitted._seed):
            raw = network.decode(mean + (0.5 * log_variance).exp() * draw)[0].double().numpy()
            variance = np.exp(log_s.item()) / 2  # exp(-d / s) is a normal density
            residuals = raw[:, :6] - cells[:, :6]
            logs = -np.square(residuals) / (2 * variance) - 0.5 * np.log(2 * np.pi * variance)
            bound, start = np.nansum(logs, axis=1), 6
            for j in layout.categories:
                logits = raw[:, start : start + layout.n_levels[j]]
                start += layout.n_levels[j]
                logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
                known = ~np.isnan(cells[:, j])
                bound[known] += logs[known, cells[known, j].astype(int)]
            bounds.append(bound)
        divergence = kl_to_standard_normal(mean, log_variance)[0].numpy()
    np.testing.assert_allclose(fitted.score_samples(frame), np.mean(bounds, 0) - divergence, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bound", ["elbo", "importance_weighted"])
def test_rows_with_holes_have_bounds_though_training_had_none(bound, mixed):
    for frame in (mixed, mixed[list("uvw")]):
        fitted = quick(VariationalAutoEncoder, bound=bound).fit(frame)
        assert np.isfinite(fitted.score_samples(some_holes(frame))).all()
        assert np.isfinite(fitted.transform(some_holes(frame))).all()


@classes
def test_inputs_are_not_written_to(kind, mixed):
    frame = some_holes(mixed)
    before = frame.copy(deep=True)
    fitted = quick(kind).fit(frame)
    fitted.transform(frame), fitted.reconstruct(frame), fitted.score_samples(frame)
    pd.testing.assert_frame_equal(frame, before)
    array = frame[list("uvw")].to_numpy()
    copied = array.copy()
    quick(kind).fit(array).score_samples(array)
    np.testing.assert_array_equal(array, copied)


def test_transformer_clones_keep_what_is_a_category():
    chosen = clone(AutoEncoderTransformer(categorical_features=["a"])).get_params()["categorical_features"]
    assert chosen == ["a"]


# ---- what an attack found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_a_model_that_has_scored_is_trained_on(kind, mixed):
    fitted = pickle.loads(pickle.dumps(quick(kind).fit(mixed)))
    fitted.score(mixed)
    assert np.isfinite(fitted.partial_fit(mixed).score(mixed))


def test_a_batch_without_numbers_leaves_the_scale_of_a_density(mixed):
    numbers = mixed.select_dtypes("number").columns
    fitted = quick(VariationalAutoEncoder).fit(mixed)
    scale = fitted._network.likelihood.log_scale.item()
    fitted.partial_fit(mixed.assign(**dict.fromkeys(numbers, np.nan)))
    assert fitted._network.likelihood.log_scale.item() == scale


def test_members_of_few_rows_may_have_columns_without_values():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"rare": rng.normal(size=200), "number": rng.normal(size=200), "kind": ["k", "l"] * 100})
    table.loc[rng.random(200) < 0.9, "rare"] = np.nan
    one_by_one = AutoEncoderTransformer(1, hidden_layer_sizes=(), max_iter=1, early_stopping=True, random_state=0)
    given = AutoEncoderOutlierDetector(one_by_one, n_estimators=3, max_samples=12).fit(table)
    assert np.isfinite(given.score_samples(table)).all()
    y = np.where(table["rare"].notna(), -1, 1)
    with pytest.raises(ValueError, match=r"\['rare'\] of X have no value in the rows to train on"):
        detector(novelty=True).fit(table, y)


def test_identifiers_may_miss_a_value(mixed):
    names = [f"u{i}" for i in range(len(mixed) - 1)] + [None]
    with pytest.raises(ValueError, match=r"'id' of X has .* levels"):
        quick().fit(mixed.assign(id=names))


def test_large_unsigned_integers_come_back():
    large = (np.uint64(2**63) + np.random.default_rng(0).integers(0, 2**62, 60).astype(np.uint64)).astype(np.uint64)
    table = pd.DataFrame({"number": large, "kind": ["k", "l"] * 30})
    made = detector().fit(table).reconstruct(table)["number"]
    assert made.dtype == np.uint64
    assert 2**63 < made.min() <= made.max() < 2**63 + 2**62
