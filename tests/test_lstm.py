import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder
from skae.contracts import RowSummary
from skae.networks import LSTMNetwork
from skae.random import RandomStreams


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


def test_weights_come_from_the_streams_and_gates_remember():
    before = torch.get_rng_state()
    first, second, other = build(), build(), build(seed=1)
    assert torch.get_rng_state().equal(before)
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert a.equal(b)
        assert a.ndim == 1 or not a.equal(c)
    assert first.encoder[1].lstm.bias_ih_l0.view(4, 64).sum(1).tolist() == [0, 64, 0, 0]


@pytest.mark.parametrize("kind", [AutoEncoderTransformer, DenoisingAutoEncoder])
def test_it_learns_waves_better_than_their_mean(kind, waves):
    network = LSTMNetwork((12, 2), hidden_size=32)
    autoencoder = kind(6, network=network, learning_rate_init=1e-2, max_iter=40, random_state=0).fit(waves)
    assert -autoencoder.score(waves) < 0.1 * waves.var(0).mean()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sequence_shape": (5, 2)}, r"sequence_shape=\(5, 2\) must be .* with a product of 24"),
        ({"sequence_shape": (24,)}, r"must be \(n_steps, n_channels\)"),
        ({"hidden_size": 0}, "'hidden_size' parameter of LSTMNetwork"),
        ({"n_layers": 0}, "'n_layers' parameter of LSTMNetwork"),
    ],
)
def test_bad_specifications(parameters, message, waves):
    with pytest.raises(ValueError, match=message):
        AutoEncoderTransformer(2, network=LSTMNetwork(**{"sequence_shape": (12, 2), **parameters})).fit(waves)


def test_abnormal_heart_beats_stand_out(shared_data):
    from sklearn.metrics import roc_auc_score

    ecg = shared_data("ecg5000")
    X = np.r_[ecg["X_train"], ecg["X_test"]][::4, ::4].astype(np.float32)  # a quarter of the rows, of the steps
    y = 1 - 2 * np.r_[ecg["y_train"], ecg["y_test"]][::4].astype(int)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    network = LSTMNetwork((35, 1), hidden_size=16)
    autoencoder = AutoEncoderTransformer(8, network=network, learning_rate_init=1e-2, max_iter=10, random_state=0)
    detector = AutoEncoderOutlierDetector(autoencoder, novelty=True).fit(X_train, y_train)
    assert roc_auc_score(y_test, detector.score_samples(X_test)) >= 0.955
