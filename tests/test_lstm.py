import copy
import pickle

import numpy as np
import pytest
import torch
from other_processor import rows_alike
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import check_estimator

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder
from skae.interfaces import RowSummary
from skae.networks import LSTMNetwork
from skae.random import RandomStreams


class AnyWidth(LSTMNetwork):
    """Sequences of one channel and as many steps as there are features."""

    def build(self, rows, n_components, random, logits):
        return LSTMNetwork((rows.n_features, 1), hidden_size=4).build(rows, n_components, random, logits)


def build(shape=(6, 2), seed=0, **parameters):
    rows = RowSummary(torch.zeros(shape[0] * shape[1]), 1.0)
    return LSTMNetwork(shape, **parameters).build(rows, 3, RandomStreams([seed]), False)


@pytest.fixture(scope="module")
def waves():
    """Two channels, a sine and its cosine, of any phase and frequency; 12 steps."""
    rng = np.random.default_rng(0)
    t = np.arange(12) * rng.uniform(0.3, 0.8, size=(400, 1)) + rng.uniform(0, 6, size=(400, 1))
    return np.stack([np.sin(t), np.cos(t)], axis=2).reshape(400, 24).astype(np.float32)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_shapes(n_layers):
    network = build(hidden_size=5, n_layers=n_layers)
    x = torch.rand(4, 12)
    assert network.encoder(x).shape == (4, 3)
    assert network(x[None]).shape == (1, 4, 12)


def test_the_encoder_reads_channels_of_a_step_together():
    network = build(hidden_size=5)
    x = torch.rand(1, 12)
    encoder = network.encoder[1]
    _, (state, _) = encoder.lstm(x.view(1, 6, 2))
    torch.testing.assert_close(network.encoder(x), encoder.to_code(state[-1]))


def test_the_decoder_sees_the_code_and_its_step():
    decoder = build(hidden_size=5).decoder[0]
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    cell = torch.nn.LSTMCell(5, 5)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in decoder.lstm.state_dict().items()})
    state, steps = None, []
    for t in range(6):
        state = cell(decoder.from_code(z) + decoder.steps[t], state)
        steps.append(decoder.to_channels(state[0]))
    torch.testing.assert_close(decoder(z), torch.cat(steps, dim=1))  # channels of the first step, of the second...


def test_the_location_and_unit_of_rows_do_not_matter():
    mean = torch.arange(12.0)
    moved = LSTMNetwork((6, 2), 5).build(RowSummary(mean, 4.0), 3, RandomStreams([0]), False)
    logits = LSTMNetwork((6, 2), 5).build(RowSummary(mean, 4.0), 3, RandomStreams([0]), True)
    standard = build(hidden_size=5)
    x = torch.randn(1, 6, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved(mean + 4 * x), mean + 4 * standard(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(mean + 4 * x), standard(x), rtol=1e-4, atol=1e-4)


def test_weights_come_from_the_streams_and_gates_remember():
    before = torch.get_rng_state()
    first, second, other = build(), build(), build(seed=1)
    assert torch.get_rng_state().equal(before)
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert a.equal(b)
        assert a.ndim == 1 or not a.equal(c)
    for lstm in (first.encoder[1].lstm, first.decoder[0].lstm):
        assert lstm.bias_ih_l0.view(4, 64).sum(1).tolist() == [0, 64, 0, 0]


@pytest.mark.parametrize("kind", [AutoEncoderTransformer, DenoisingAutoEncoder])
def test_it_learns_waves_better_than_their_mean(kind, waves):
    network = LSTMNetwork((12, 2), hidden_size=16)
    autoencoder = kind(6, network=network, learning_rate_init=1e-2, max_iter=20, random_state=0).fit(waves)
    assert -autoencoder.score(waves) < 0.1 * waves.var(0).mean()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"sequence_shape": (5, 2)},
            r"sequence_shape=\(5, 2\) holds 10 values, but X has 24 features: \(n_steps, n_channels\) must",
        ),
        ({"sequence_shape": (24,)}, r"must be \(n_steps, n_channels\)"),
        ({"sequence_shape": (-12, -2)}, r"sequence_shape=\(-12, -2\) must hold integers >= 1"),
        ({"hidden_size": 0}, "'hidden_size' parameter of LSTMNetwork"),
        ({"n_layers": 0}, "'n_layers' parameter of LSTMNetwork"),
    ],
)
def test_bad_specifications(parameters, message, waves):
    with pytest.raises(ValueError, match=message):
        AutoEncoderTransformer(2, network=LSTMNetwork(**{"sequence_shape": (12, 2), **parameters})).fit(waves)


def test_a_batch_of_several_is_refused():
    with pytest.raises(ValueError, match="LSTMNetwork builds one network at a time"):
        LSTMNetwork((6, 2)).build(RowSummary(torch.zeros(12), 1.0), 2, RandomStreams([0, 1]), False)


def test_copies_are_the_same_to_the_bit_and_global_generators_stay(waves):
    def fit():
        network = LSTMNetwork((12, 2), hidden_size=8, n_layers=2)
        return AutoEncoderTransformer(4, network=network, max_iter=2, random_state=0).fit(waves)

    before = torch.get_rng_state()
    fitted = fit()
    assert torch.get_rng_state().equal(before)
    expected = fitted.reconstruct(waves)
    for same in (fit(), copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(same.reconstruct(waves), expected)
    np.testing.assert_allclose(fitted.reconstruct(waves[5:6]), expected[5:6], rtol=1e-5, atol=1e-6)


def test_estimator_checks():
    with rows_alike():
        check_estimator(AutoEncoderTransformer(2, network=AnyWidth(), max_iter=3))


def test_abnormal_heart_beats_stand_out(shared_data):
    ecg = shared_data("ecg5000")
    X = np.r_[ecg["X_train"], ecg["X_test"]][::4, ::4].astype(np.float32)  # a quarter of the rows, of the steps
    y = 1 - 2 * np.r_[ecg["y_train"], ecg["y_test"]][::4].astype(int)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    autoencoder = AutoEncoderTransformer(8, network=LSTMNetwork((35, 1), hidden_size=32), max_iter=10, random_state=0)
    detector = AutoEncoderOutlierDetector(autoencoder, novelty=True).fit(X_train, y_train)
    assert roc_auc_score(y_test, detector.score_samples(X_test)) >= 0.955
    normal, mean = X_test[y_test == 1], X_train[y_train == 1].mean(0)
    assert -detector.autoencoder_.score(normal) < 0.5 * np.mean((normal - mean) ** 2)
