"""The classic tutorials' systems, each trained on real data, each with its figure and the tutorial's.

Run: python benchmarks/tutorials.py [--quick] [name ...]. --quick trains on a tenth of the rows, which shows that
everything works and not what it can reach.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import f1_score, roc_auc_score

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork
from skae.objectives.contractive import squared_jacobian_norm

FOLDER = Path(os.environ.get("SKAE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


class Mnist(NamedTuple):
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


class System(NamedTuple):
    run: Callable[[bool], float]  # quick -> figure
    what: str
    bound: float
    tutorial: str = ""
    higher_is_better: bool = False


SYSTEMS: dict[str, System] = {}


def system(what, bound, **more):
    """Enter a function into the table under its own name."""

    def enter(run):
        SYSTEMS[run.__name__] = System(run, what, bound, **more)
        return run

    return enter


@cache
def mnist(quick: bool) -> Mnist:
    """MNIST in [0, 1]; a tenth of the training rows where it has to be quick."""
    data = np.load(FOLDER / "mnist.npz", allow_pickle=False)
    X_train, X_test = (data[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("x_train", "x_test"))
    n = 6000 if quick else 60_000
    return Mnist(X_train[:n], data["y_train"][:n].astype(int), X_test, data["y_test"].astype(int))


@cache
def ecg(quick: bool):
    """ECG5000 with 20 % held out: X_train, X_test, y_train, y_test; +1 normal, -1 abnormal."""
    from sklearn.model_selection import train_test_split

    data = np.load(FOLDER / "ecg5000.npz", allow_pickle=False)
    X = np.r_[data["X_train"], data["X_test"]].astype(np.float32)
    y = 1 - 2 * np.r_[data["y_train"], data["y_test"]].astype(int)
    if quick:
        X, y = X[::5], y[::5]
    return train_test_split(X, y, test_size=0.2, random_state=21)


def cross_entropy(autoencoder, quick):
    """Mean cross-entropy a pixel on MNIST's test rows."""
    data = mnist(quick)
    return -autoencoder.set_params(loss="binary_cross_entropy", random_state=0).fit(data.X_train).score(data.X_test)


# ---- plain -------------------------------------------------------------------------------------------------


@system("784-32, relu code; cross-entropy", 0.105, tutorial="0.11 after 50 epochs")
def simple(quick):
    return cross_entropy(AutoEncoderTransformer(network=DenseNetwork((), code_activation="relu"), max_iter=20), quick)


@system("784-128-64-32; cross-entropy", 0.097, tutorial="0.097 after 100 epochs")
def deep(quick):
    return cross_entropy(AutoEncoderTransformer(max_iter=30), quick)


# ---- convolutional and recurrent ---------------------------------------------------------------------------


@system("ConvNetwork, 128 features; cross-entropy", 0.090, tutorial="0.094 after 50 epochs")
def convolutional(quick):
    return cross_entropy(AutoEncoderTransformer(128, network=ConvNetwork(), max_iter=5), quick)


@system("noise 0.5 clipped: error left, share of noise", 0.10)
def denoising_convolutional(quick):
    """Print the classic filters' figures too, and return the share of the squared error that is left."""
    from scipy.ndimage import median_filter
    from skimage.restoration import denoise_nl_means

    data, rng = mnist(quick), np.random.default_rng(0)
    noisy = np.clip(data.X_test + rng.normal(scale=0.5, size=data.X_test.shape), 0, 1).astype(np.float32)

    def corrupt(x, generator):
        return (x + 0.5 * torch.randn(x.shape, generator=generator, device=x.device)).clamp(0, 1)

    denoiser = DenoisingAutoEncoder(128, network=ConvNetwork(), corruption=corrupt, max_iter=8, random_state=0).fit(
        data.X_train
    )
    cleaned = {
        "skae": denoiser.predict(noisy),
        "median filter 3x3": median_filter(noisy.reshape(-1, 28, 28), (1, 3, 3)).reshape(-1, 784),
    }
    n = 500  # rows for the slow one
    means = [denoise_nl_means(image, h=0.5, sigma=0.4, patch_size=5) for image in noisy[:n].reshape(-1, 28, 28)]
    cleaned["non-local means"] = np.reshape(means, (n, 784))
    shares = {
        name: float(np.mean((x - data.X_test[: len(x)]) ** 2) / np.mean((noisy - data.X_test)[: len(x)] ** 2))
        for name, x in cleaned.items()
    }
    print("   error left: " + ", ".join(f"{name} {share:.3f}" for name, share in shares.items()))
    assert shares["skae"] == min(shares.values())
    return shares["skae"]


@cache
def sequence_detector(quick):
    """A detector over an LSTM autoencoder, trained on normal heart beats."""
    X_train, _, y_train, _ = ecg(quick)
    autoencoder = AutoEncoderTransformer(16, network=LSTMNetwork((140, 1)), max_iter=10, random_state=0)
    return AutoEncoderOutlierDetector(autoencoder, novelty=True).fit(X_train, y_train)


@system("LSTM detector on ECG5000; AUROC", 0.955, higher_is_better=True)
def sequence(quick):
    _, X_test, _, y_test = ecg(quick)
    return roc_auc_score(y_test, sequence_detector(quick).score_samples(X_test))


@system("the same: error / mean series' error", 0.5)
def sequence_error(quick):
    X_train, X_test, y_train, y_test = ecg(quick)
    normal, mean = X_test[y_test == 1], X_train[y_train == 1].mean(0)
    return -sequence_detector(quick).autoencoder_.score(normal) / np.mean((normal - mean) ** 2)


# ---- sparse and contractive --------------------------------------------------------------------------------


@system("L1: mean code over the simple one's", 0.5)
def sparse_l1(quick):
    data = mnist(quick)

    def fit(weight):
        return SparseAutoEncoder(
            network=DenseNetwork((), code_activation="relu"),
            sparsity_weight=weight,
            loss="binary_cross_entropy",
            max_iter=10,
            random_state=0,
        ).fit(data.X_train)

    simple, sparse = fit(0), fit(0.01)
    print(f"   cross-entropy: simple {-simple.score(data.X_test):.4f}, sparse {-sparse.score(data.X_test):.4f}")
    return sparse.transform(data.X_test).mean() / simple.transform(data.X_test).mean()


@system("KL: mean activation off its target, share", 0.2)
def sparse_kl(quick):
    data = mnist(quick)
    autoencoder = SparseAutoEncoder(
        network=DenseNetwork((), code_activation="sigmoid"),
        sparsity="kl",
        target_rate=0.2,
        loss="binary_cross_entropy",
        learning_rate_init=2e-2,
        max_iter=10,
        random_state=0,
    ).fit(data.X_train)
    return abs(autoencoder.transform(data.X_test).mean() / 0.2 - 1)


@system("Jacobian's squared norm, times smaller", 3.0, higher_is_better=True)
def contractive(quick):
    data = mnist(quick)
    shared = {"max_iter": 5, "random_state": 0, "device": "cpu"}
    tied = DenseNetwork((512,), "silu", tied_weights=True)
    plain = AutoEncoderTransformer(network=DenseNetwork((512,), "silu"), **shared).fit(data.X_train)
    contracted = ContractiveAutoEncoder(network=tied, contraction_weight=1.5e-5, **shared).fit(data.X_train)
    errors = -plain.score(data.X_test), -contracted.score(data.X_test)
    print(f"   squared error: plain {errors[0]:.5f}, contractive {errors[1]:.5f}")

    def norm(autoencoder):
        with torch.no_grad():
            _, weights, derivatives = autoencoder.encoder_.jacobian_factors(torch.from_numpy(data.X_test)[None])
            return squared_jacobian_norm(weights, derivatives).mean().item()

    return norm(plain) / norm(contracted)


# ---- variational -------------------------------------------------------------------------------------------


@system("20 features: negative ELBO in nats", 104)
def variational(quick):
    data = mnist(quick)
    autoencoder = VariationalAutoEncoder(
        20,
        hidden_layer_sizes=(512, 512),
        activation="silu",
        loss="binary_cross_entropy",
        max_iter=25,
        random_state=0,
    )
    return -autoencoder.fit(data.X_train).score(data.X_test)


def thousand_labels(y, seed):
    """Return y with 100 labels a class left, -1 elsewhere."""
    rng = np.random.default_rng(seed)
    known = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:100] for c in range(10)])
    few = np.full(len(y), -1)
    few[known] = y[known]
    return few


def conditional_autoencoder(**parameters):
    return ConditionalVariationalAutoEncoder(
        20,
        hidden_layer_sizes=(256, 128),
        activation="silu",
        loss="binary_cross_entropy",
        random_state=0,
        **parameters,
    )


@system("samples that a classifier takes for their class", 0.95, higher_is_better=True)
def conditional_samples(quick):
    from sklearn.neural_network import MLPClassifier

    data = mnist(quick)
    classifier = MLPClassifier((256,), early_stopping=True, random_state=0).fit(data.X_train, data.y_train)
    print(f"   the classifier's accuracy on MNIST: {classifier.score(data.X_test, data.y_test):.4f}")
    autoencoder = conditional_autoencoder(max_iter=20).fit(data.X_train, data.y_train)
    return classifier.score(*autoencoder.sample(10_000, y=np.arange(10_000) % 10))


@system("1,000 labels: accuracy", 0.93, higher_is_better=True)
def conditional_few_labels(quick):
    data = mnist(quick)
    autoencoder = conditional_autoencoder(batch_size=128, max_iter=12)
    autoencoder.fit(data.X_train, thousand_labels(data.y_train, 0))
    return np.mean(autoencoder.predict(data.X_test) == data.y_test)


# ---- adversarial -------------------------------------------------------------------------------------------


@cache
def adversarial_and_plain(quick):
    shared = {"hidden_layer_sizes": (256, 128), "activation": "silu", "max_iter": 15, "random_state": 0}
    X_train = mnist(quick).X_train
    return AdversarialAutoEncoder(4, **shared).fit(X_train), AutoEncoderTransformer(4, **shared).fit(X_train)


@system("energy distance to the normal, over plain's", 0.2)
def adversarial_prior(quick):
    adversarial, plain = (model.transform(mnist(quick).X_test) for model in adversarial_and_plain(quick))
    prior = np.random.default_rng(0).normal(size=adversarial.shape)
    plain = (plain - plain.mean(0)) / plain.std(0)
    return energy_distance(adversarial, prior) / energy_distance(plain, prior)


@system("the same: squared error over plain's", 1.25)
def adversarial_error(quick):
    adversarial, plain = (model.score(mnist(quick).X_test) for model in adversarial_and_plain(quick))
    return adversarial / plain


def energy_distance(a, b):
    """Return the unbiased estimate of 2 E|a - b| - E|a - a'| - E|b - b'| (Szekely & Rizzo 2013)."""
    a, b = torch.from_numpy(a).double(), torch.from_numpy(b).double()
    return float(2 * torch.cdist(a, b).mean() - torch.pdist(a).mean() - torch.pdist(b).mean())


# ---- stacked -----------------------------------------------------------------------------------------------


@system("error over that from scratch, 12 passes each", 1.0)
def stacked(quick):
    data = mnist(quick)

    def error(pretrain, tune):
        model = StackedAutoEncoder(
            32,
            hidden_layer_sizes=(512, 256, 128),
            activation="sigmoid",
            pretrain_max_iter=pretrain,
            max_iter=tune,
            random_state=0,
        )
        return -model.fit(data.X_train).score(data.X_test)

    return error(2, 4) / error(0, 12)  # four layers, two passes each, count as eight


@system("1,000 labels, accuracy gained, 3 seeds", 0.015, higher_is_better=True)
def stacked_classifier(quick):
    data, gains = mnist(quick), []
    network = DenseNetwork((500, 500), "relu", code_activation="relu", dropout=0.5, tied_weights=True)
    for seed in range(1 if quick else 3):
        y = thousand_labels(data.y_train, seed)
        pretrained, scratch = (
            StackedAutoEncoderClassifier(
                500,
                network=network,
                noise_level=0.7,
                pretrain_max_iter=epochs,
                max_iter=30,
                learning_rate_init=1e-3,
                random_state=seed,
            )
            .fit(data.X_train, y)
            .score(data.X_test, data.y_test)
            for epochs in (6, 0)
        )
        gains.append(pretrained - scratch)
    return float(np.mean(gains))


# ---- one digit is normal -----------------------------------------------------------------------------------


def one_digit_is_normal(digit, quick):
    """F1 of the normal class; 5,000 of the digit plus 500 others train, 1,000 plus 1,000 test."""
    data, share = mnist(False), 10 if quick else 1
    X, y = np.r_[data.X_train, data.X_test], np.r_[data.y_train, data.y_test]
    rng = np.random.default_rng(0)
    normal, other = rng.permutation(np.flatnonzero(y == digit)), rng.permutation(np.flatnonzero(y != digit))
    train = np.r_[normal[: 5000 // share], other[: 500 // share]]
    test = np.r_[normal[5000:6000], other[500:1500]]
    linear = AutoEncoderTransformer(16, hidden_layer_sizes=(), activation="identity", max_iter=10, random_state=0)
    detector = AutoEncoderOutlierDetector(linear, threshold="mean+0.5*std").fit(X[train])
    return f1_score(np.repeat([1, -1], 1000), detector.predict(X[test]))


@system("digit 5 is normal; F1", 0.85, tutorial="0.76 dense, 0.69 convolutional", higher_is_better=True)
def digit_five(quick):
    return one_digit_is_normal(5, quick)


@system("digit 1 is normal; F1", 0.975, tutorial="0.96", higher_is_better=True)
def digit_one(quick):
    return one_digit_is_normal(1, quick)


def main(names, quick):
    """Print a row a system."""
    print(f"{'system':22s}{'what':44s}{'measured':>10s}{'bound':>10s}   {'':5s}{'seconds':>8s}   tutorial")
    for name in names or SYSTEMS:
        row, start = SYSTEMS[name], time.perf_counter()
        figure = row.run(quick)
        good = figure >= row.bound if row.higher_is_better else figure <= row.bound
        bound = f"{'>=' if row.higher_is_better else '<='} {row.bound:g}"
        print(
            f"{name:22s}{row.what:44s}{figure:10.4f}{bound:>10s}   {'ok' if good else 'MISS':5s}"
            f"{time.perf_counter() - start:8.0f}   {row.tutorial}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*", choices=[*SYSTEMS, []])
    arguments = parser.parse_args()
    main(arguments.names, arguments.quick)
