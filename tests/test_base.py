"""What all autoencoders share."""

import copy
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from catalogue import AUTOENCODERS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from skae import AutoEncoderTransformer, DenoisingAutoEncoder
from skae.networks import DenseNetwork
from skae.training import rows

LOSSES = ["squared_error", "absolute_error", "huber", "binary_cross_entropy"]


def quick(n_components=2, **parameters):
    return AutoEncoderTransformer(
        n_components, **{"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, "device": "cpu", **parameters}
    )


def weights(autoencoder):
    return torch.cat([p.detach().cpu().reshape(-1) for p in autoencoder.encoder_.parameters()])


class EveryEpoch:
    """A callback that calls a function at the end of every epoch."""

    def __init__(self, function):
        self.function = function

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        return self.function(context.task_id, fitted_estimator) if context.task_name == "epoch" else None


# ---- codes, reconstructions, scores ------------------------------------------------------------------------


@given(
    n=st.integers(1, 40),
    n_features=st.integers(1, 6),
    n_components=st.integers(1, 8),
    loss=st.sampled_from(LOSSES),
    dtype=st.sampled_from([np.float32, np.float64]),
    activation=st.sampled_from(["relu", "gelu", "silu", "tanh", "sigmoid", "identity"]),
)
@settings(max_examples=40)
def test_shapes_types_and_round_trip(n, n_features, n_components, loss, dtype, activation):
    X = np.random.default_rng(0).uniform(size=(n, n_features)).astype(dtype)
    autoencoder = quick(n_components, loss=loss, activation=activation, max_iter=2).fit(X)
    Z, X_hat = autoencoder.transform(X), autoencoder.reconstruct(X)
    assert (Z.shape, X_hat.shape, Z.dtype, X_hat.dtype) == ((n, n_components), X.shape, dtype, dtype)
    np.testing.assert_allclose(autoencoder.inverse_transform(Z), X_hat, rtol=1e-5, atol=1e-6)
    scores = autoencoder.score_samples(X)
    assert (scores.shape, scores.dtype) == ((n,), np.float64)
    assert autoencoder.score(X) == pytest.approx(scores.mean())
    if loss == "binary_cross_entropy":
        assert X_hat.min() >= 0
        assert X_hat.max() <= 1


@pytest.mark.parametrize(
    ("loss", "error"),
    [
        ("squared_error", lambda x, r: (x - r) ** 2),
        ("absolute_error", lambda x, r: np.abs(x - r)),
        ("huber", lambda x, r: np.where(np.abs(x - r) < 1, (x - r) ** 2 / 2, np.abs(x - r) - 0.5)),
        ("binary_cross_entropy", lambda x, r: -(x * np.log(r) + (1 - x) * np.log1p(-r))),
    ],
)
def test_scores_are_minus_the_mean_error_in_the_measure_of_the_loss(loss, error, digits):
    autoencoder = quick(loss=loss).fit(digits)
    expected = -error(digits, autoencoder.reconstruct(digits).astype(float)).mean(1)
    np.testing.assert_allclose(autoencoder.score_samples(digits), expected, rtol=1e-4)


def test_encoder_and_decoder_are_the_transformer(digits):
    autoencoder = quick(loss="binary_cross_entropy").fit(digits)
    with torch.no_grad():
        Z = autoencoder.encoder_(torch.tensor(digits))
        X_hat = autoencoder.decoder_(Z)
    np.testing.assert_allclose(Z, autoencoder.transform(digits), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(X_hat, autoencoder.reconstruct(digits), rtol=1e-4, atol=1e-5)


def test_one_hidden_layer_may_be_a_number(plane):
    alone, listed = quick(hidden_layer_sizes=8).fit(plane), quick(hidden_layer_sizes=[8]).fit(plane)
    assert np.array_equal(alone.transform(plane), listed.transform(plane))


def test_before_fit_there_is_nothing():
    with pytest.raises(NotFittedError):
        quick().transform(np.zeros((2, 2)))
    with pytest.raises(AttributeError, match="no encoder_ before fit"):
        _ = quick().encoder_


@pytest.mark.parametrize("loss", LOSSES)
def test_training_lowers_the_loss(loss, digits):
    autoencoder = quick(8, loss=loss, max_iter=15).fit(digits)
    assert len(autoencoder.loss_curve_) == autoencoder.n_iter_ == 15
    assert autoencoder.validation_loss_curve_ is None
    assert autoencoder.loss_curve_[-1] < (0.95 if loss == "binary_cross_entropy" else 0.7) * autoencoder.loss_curve_[0]


def test_raw_and_shifted_columns_train_alike(digits):
    X = digits[:300].astype(np.float64)
    error = -quick(max_iter=20).fit(X).score(X)
    moved = -quick(max_iter=20).fit(X * 1000 + 5000).score(X * 1000 + 5000)
    assert moved == pytest.approx(error * 1e6, rel=0.02)


# ---- reproducibility and global state ----------------------------------------------------------------------


@pytest.mark.parametrize("autoencoder", AUTOENCODERS, ids=repr)
def test_the_same_random_state_gives_the_same_model_to_the_bit(autoencoder, plane):
    def fit():
        return clone(autoencoder).set_params(random_state=7, max_iter=3, device="cpu").fit(plane)

    first = fit()
    np.random.rand(3)  # noqa: NPY002 - whatever ran before
    torch.rand(3)
    quick().fit(plane[:50])
    second = fit()
    assert weights(first).equal(weights(second))
    assert np.array_equal(first.reconstruct(plane), second.reconstruct(plane))
    assert not weights(first).equal(weights(clone(autoencoder).set_params(random_state=8, max_iter=3).fit(plane)))


@pytest.mark.parametrize("random_state", [None, 0, "instance"])
def test_global_state_is_neither_read_nor_changed(random_state, plane):
    if random_state == "instance":
        random_state = np.random.RandomState(0)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    threads, dtype, X = torch.get_num_threads(), torch.get_default_dtype(), plane.copy()
    DenoisingAutoEncoder(2, max_iter=2, random_state=random_state, early_stopping=True).fit(plane).score(plane)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.get_rng_state().equal(torch_before)
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)
    assert np.array_equal(plane, X)


def test_without_a_seed_two_fits_differ_even_under_a_global_seed(plane):
    def fit():
        np.random.seed(0)  # noqa: NPY002
        return weights(quick(random_state=None).fit(plane))

    assert not fit().equal(fit())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))], ids=["deepcopy", "pickle"])
def test_copies_score_alike_and_train_on_alike(copied, plane):
    fitted = quick(network=DenseNetwork((8,), tied_weights=True)).fit(plane).partial_fit(plane)
    twin = copied(fitted)
    assert np.array_equal(twin.score_samples(plane), fitted.score_samples(plane))
    assert weights(twin.partial_fit(plane)).equal(weights(fitted.partial_fit(plane)))
    assert twin.encoder_.layers[0] is twin.decoder_.layers[-1].tied_to


# ---- ways to train -----------------------------------------------------------------------------------------


def test_early_stopping_keeps_the_best_held_out_weights(digits):
    autoencoder = quick(16, early_stopping=True, max_iter=60, learning_rate_init=0.1, n_iter_no_change=4).fit(digits)
    curve = autoencoder.validation_loss_curve_
    assert len(curve) == autoencoder.n_iter_ < 60
    assert autoencoder.best_epoch_ == np.argmin(curve) + 1
    assert -autoencoder.score(digits) < 1.15 * min(curve)


def test_warm_start_continues(digits):
    cold = quick(max_iter=4, learning_rate="constant").fit(digits)
    warm = clone(cold).set_params(warm_start=True).fit(digits).fit(digits)
    assert warm.n_iter_ == len(warm.loss_curve_) == 8
    assert warm.loss_curve_[:4] == cold.loss_curve_
    assert warm.loss_curve_[4] < cold.loss_curve_[3]
    with pytest.raises(ValueError, match=r"n_components=3 differs from 2 of the fitted network.*warm_start=False"):
        warm.set_params(n_components=3).fit(digits)


def test_held_out_losses_stay_beside_their_epochs(digits):
    autoencoder = quick(max_iter=2, warm_start=True).fit(digits)
    autoencoder.set_params(early_stopping=True).fit(digits).partial_fit(digits)
    assert len(autoencoder.loss_curve_) == len(autoencoder.validation_loss_curve_) == 5
    assert np.isnan(autoencoder.validation_loss_curve_).tolist() == [True, True, False, False, True]


def test_partial_fit_is_one_pass_that_keeps_the_optimizer(digits):
    autoencoder = quick(8, learning_rate_init=1e-3)
    for _ in range(6):
        autoencoder.partial_fit(digits)
    assert autoencoder.n_iter_ == len(autoencoder.loss_curve_) == 6
    whole = quick(8, learning_rate_init=1e-3, learning_rate="constant", max_iter=6).fit(digits)
    np.testing.assert_allclose(autoencoder.loss_curve_, whole.loss_curve_, rtol=1e-5)


def test_streamed_rows_train_the_same_model(digits, monkeypatch):
    X = digits.astype(np.float64)
    resident = quick().fit(X)
    monkeypatch.setattr(rows, "free_memory", lambda device: 1000)
    assert weights(quick().fit(X)).equal(weights(resident))


def test_verbose_prints_a_line_an_epoch(plane, capsys):
    quick(max_iter=3, verbose=True).fit(plane)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["Epoch 1", "Epoch 2", "Epoch 3"]


def test_readonly_memmap_and_fortran_order(tmp_path, digits):
    path = tmp_path / "X.npy"
    np.save(path, np.asfortranarray(digits))
    X = np.load(path, mmap_mode="r")
    assert weights(quick().fit(X)).equal(weights(quick().fit(np.array(digits))))


# ---- interruption and divergence ---------------------------------------------------------------------------


@pytest.fixture
def sigint():
    """Let SIGINT raise KeyboardInterrupt, also where the test runner ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_sigint_leaves_the_best_weights_so_far(digits, sigint):
    autoencoder = quick(8, max_iter=1000)
    autoencoder.set_callbacks(EveryEpoch(lambda epoch, _: sigint() if epoch == 6 else None))
    with pytest.raises(KeyboardInterrupt) as caught:
        autoencoder.fit(digits)
    assert autoencoder.n_iter_ == 7
    assert f"weights of epoch {autoencoder.best_epoch_}" in caught.value.__notes__[0]
    assert -autoencoder.score(digits) < digits.var()
    assert autoencoder.transform(digits).shape == (len(digits), 8)


def test_sigint_before_the_first_epoch_leaves_the_earlier_state(digits, sigint, monkeypatch):
    autoencoder = quick().fit(digits)
    scores = autoencoder.score_samples(digits)
    monkeypatch.setattr(nn.Module, "train", lambda *args: sigint())
    with pytest.raises(KeyboardInterrupt) as caught:
        autoencoder.fit(digits[:, :32])
    monkeypatch.undo()
    assert "left as it was" in caught.value.__notes__[0]
    assert autoencoder.n_features_in_ == 64
    assert np.array_equal(autoencoder.score_samples(digits), scores)


def test_divergence_is_named_and_leaves_the_earlier_state(digits):
    autoencoder = quick().fit(digits)
    scores = autoencoder.score_samples(digits)
    with pytest.raises(
        FloatingPointError, match=r"not finite in epoch 1: .* lower learning_rate_init=1e\+30"
    ) as caught:
        autoencoder.set_params(learning_rate_init=1e30).fit(digits)
    assert "left as it was" in caught.value.__notes__[0]
    assert np.array_equal(autoencoder.score_samples(digits), scores)


def test_a_diverging_warm_start_leaves_the_best_weights(digits):
    autoencoder = quick(warm_start=True).fit(digits)
    scores = autoencoder.score_samples(digits)
    with pytest.raises(FloatingPointError):
        autoencoder.set_params(learning_rate_init=1e30).fit(digits)
    assert np.array_equal(autoencoder.score_samples(digits), scores)


# ---- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "change", "message"),
    [
        ({"loss": "binary_cross_entropy"}, lambda X: np.where(X > 1, np.nan, X), "Input X contains NaN"),
        ({}, lambda X: np.where([1, 0, 0, 1, 0], np.inf, X), r"Columns \[0, 3\] of X hold infinity: replace it"),
        ({}, lambda X: np.where([1, 0, 0, 1, 0], np.nan, X), r"Columns \[0, 3\] of X are empty throughout: drop them"),
        ({}, sparse.csr_array, "Sparse data was passed"),
        ({}, lambda X: X + 1j, "Complex data not supported"),
        ({}, lambda X: X[:, :, None], r"dim 3.* X has shape \(200, 5, 1\), but a row has one.*reshape\(len\(X\), -1\)"),
        ({}, lambda X: [X, X], r"dim 3.* X is a list of 2 arrays of two dimensions.*np.concatenate\(X\), or.*__iter__"),
        ({}, lambda X: (X, X[:9]), r"X is a tuple of 2 arrays of two dimensions.*np.concatenate\(X\)"),
        ({}, lambda X: X * 1e300, "X holds values up to .* beyond float32.*scale the columns"),
        ({"n_components": 0}, None, "'n_components' parameter of AutoEncoderTransformer must be an int in the range"),
        ({"hidden_layer_sizes": (64, 0)}, None, r"hidden_layer_sizes=\(64, 0\) must hold integers >= 1"),
        ({"hidden_layer_sizes": 0}, None, "'hidden_layer_sizes' parameter"),
        ({"activation": "swish"}, None, "'activation' parameter"),
        ({"loss": "hinge"}, None, "'loss' parameter"),
        ({"loss": "binary_cross_entropy"}, None, r"needs values in \[0, 1\]; X has values in .*MinMaxScaler"),
        (
            {"early_stopping": True, "validation_fraction": 0.001},
            None,
            "validation_fraction=0.001 of 200 rows leaves no",
        ),
        ({"early_stopping": True, "validation_fraction": 0.999}, None, "leaves no row to train on"),
        ({"validation_fraction": 1.0}, None, "'validation_fraction' parameter"),
        ({"device": "tpu"}, None, r"device='tpu' is unknown\. Use 'auto'"),
        ({"network": 3}, None, "'network' parameter"),
        ({"batch_size": "big"}, None, "'batch_size' parameter"),
        ({"random_state": "x"}, None, "'random_state' parameter"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_input_is_named_before_training(method, parameters, change, message, plane, monkeypatch):
    if method == "partial_fit" and "early_stopping" in parameters:
        return  # it holds no rows out
    monkeypatch.setattr("skae.estimators.base.train", lambda *args, **kwargs: pytest.fail("training began"))
    X = plane if change is None else change(plane)
    autoencoder = quick(**parameters)
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(autoencoder, method)(X)
    assert not hasattr(autoencoder, "n_features_in_")


def test_a_failed_fit_keeps_the_earlier_state(plane):
    autoencoder = quick().fit(plane)
    scores = autoencoder.score_samples(plane)
    with pytest.raises(ValueError, match="are empty throughout"):
        autoencoder.fit(np.full((5, 3), np.nan))
    assert np.array_equal(autoencoder.score_samples(plane), scores)


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
def test_wrong_width_and_values_at_scoring(method, plane):
    autoencoder = quick().fit(plane)
    with pytest.raises(ValueError, match=r"X has 4 features, but AutoEncoderTransformer is expecting 5"):
        getattr(autoencoder, method)(plane[:, :4])
    with pytest.raises(ValueError, match="hold infinity"):
        getattr(autoencoder, method)(np.full((2, 5), np.inf))
    with pytest.raises(ValueError, match="beyond float32"):
        getattr(autoencoder, method)(plane * 1e300)


def test_wrong_width_of_codes(plane):
    with pytest.raises(ValueError, match=r"Z has 3 columns; .* n_components=2"):
        quick().fit(plane).inverse_transform(np.zeros((2, 3)))


def test_cross_entropy_scores_only_what_lies_in_its_range(digits):
    with pytest.raises(ValueError, match=r"needs values in \[0, 1\]"):
        quick(loss="binary_cross_entropy").fit(digits).score_samples(digits * 2)


# ---- whatever the caller has set ---------------------------------------------------------------------------


@pytest.fixture(params=["dtype", "device", "no_grad", "inference_mode", "errstate"])
def surroundings(request):
    """Set something of torch's or NumPy's that a caller may have set."""
    if request.param == "dtype":
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(torch.float32)
    else:
        contexts = {
            "device": lambda: torch.device("meta"),
            "no_grad": torch.no_grad,
            "inference_mode": torch.inference_mode,
            "errstate": lambda: np.errstate(all="raise"),
        }
        with contexts[request.param]():
            yield


def own_network(n_features, n_components):
    # whatever the default type, the same initial numbers
    return nn.Linear(n_features, n_components, dtype=torch.float32), nn.Linear(
        n_components, n_features, dtype=torch.float32
    )


NETWORKS = [None, DenseNetwork((4,), normalization="batch", dropout=0.1), own_network]


@pytest.fixture(scope="module")
def expected_scores():
    X = np.random.default_rng(0).normal(size=(60, 5))
    X[0] = 1e-42  # below float32's normal numbers
    fits = [quick(network=network, max_iter=2, early_stopping=True).fit(X) for network in NETWORKS]
    return X, [fitted.score_samples(X) for fitted in fits]


@pytest.mark.parametrize("i", range(len(NETWORKS)))
def test_the_callers_settings_change_nothing(i, expected_scores, surroundings):
    X, expected = expected_scores
    fitted = quick(network=NETWORKS[i], max_iter=2, early_stopping=True).fit(X)
    np.testing.assert_allclose(fitted.score_samples(X), expected[i], rtol=1e-6)


# ---- units, locations, modes -------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("unit", [1e-8, 1e-3, 1e6])
def test_the_unit_of_the_rows_does_not_matter(loss, unit, digits):
    X = digits[:400].astype(np.float64)
    size = unit**2 if loss == "squared_error" else unit
    expected = quick(loss=loss, max_iter=10).fit(X).score(X)
    assert quick(loss=loss, max_iter=10).fit(X * unit).score(X * unit) / size == pytest.approx(expected, rel=0.05)


def test_columns_that_float32_does_not_resolve_are_warned_about(plane):
    X = plane.copy()
    X[:, 3] += 1.7e9
    with pytest.warns(UserWarning, match=r"Columns \[3\] of X vary too little.*StandardScaler") as caught:
        quick().fit(X)
    assert caught[0].filename == __file__


def test_a_fitted_network_is_in_evaluation_mode(plane):
    fitted = quick(network=DenseNetwork((8,), dropout=0.5)).fit(plane)
    assert not fitted.encoder_.training
    assert not fitted.partial_fit(plane).decoder_.training


TRAINING = {
    "encoder": lambda a: a.encoder_.train(),
    "a layer": lambda a: a.encoder_.layers[0].train(),
    "decoder": lambda a: a.decoder_.train(),
    "a norm": lambda a: a.encoder_.norms[0].train(),
}


@pytest.mark.parametrize("switch", TRAINING)
@pytest.mark.parametrize("parameters", [{"dropout": 0.5}, {"normalization": "batch"}], ids=str)
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
def test_scoring_is_in_evaluation_mode(method, parameters, switch, plane):
    specification = DenseNetwork((8,), **{"normalization": "layer", **parameters})
    fitted = quick(network=specification).fit(plane)
    expected = getattr(fitted, method)(plane)
    buffers = copy.deepcopy(dict(fitted.encoder_.named_buffers()))
    for scored in (fitted, pickle.loads(pickle.dumps(fitted))):
        TRAINING[switch](scored)
        np.testing.assert_allclose(getattr(scored, method)(plane), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(dict(fitted.encoder_.named_buffers()), buffers)


def test_autocast_around_a_fit_changes_nothing(plane):
    expected = quick().fit(plane)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fitted = quick().fit(plane)
        scores = fitted.score_samples(plane)
    assert weights(fitted).equal(weights(expected))
    assert np.array_equal(scores, expected.score_samples(plane))


def dropout_network(n_features, n_components):
    encoder = nn.Sequential(nn.Linear(n_features, 8), nn.Dropout(0.5), nn.Linear(8, n_components))
    return encoder, nn.Linear(n_components, n_features)


def test_networks_of_ones_own_are_reproducible_in_threads(plane):
    def fit(_):
        return weights(quick(network=dropout_network, max_iter=10).fit(plane))

    before = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(fit, range(6))
    assert all(first.equal(other) for other in others)
    assert torch.get_rng_state().equal(before)
