"""What `AutoEncoderOutlierDetector` trains, also where no autoencoder is given."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone

from skae._compat import warn_user
from skae.estimators import DenoisingAutoEncoder
from skae.networks import MemoryNetwork
from skae.outliers.bagging import BaggedAutoEncoders

WIDE = 256  # columns, beyond which prototypes are too far from most rows
N_STEPS, BATCH_SIZE = 200, 128  # of the training on normal rows


def unfitted_model(detector: Any, n_samples: int, n_features: int) -> Any:
    """Return what a detector trains: clones of its autoencoder or the default ones, in a bag if there are several."""
    n_estimators, max_samples = detector.n_estimators, detector.max_samples
    model: Any
    if detector.autoencoder is None:
        model = default_bags(n_samples, n_features, detector.novelty, n_estimators, max_samples)
    else:
        model = clone(detector.autoencoder)
        n_estimators = 1 if isinstance(n_estimators, str) else n_estimators
        if isinstance(max_samples, str):
            max_samples = 1.0 if n_estimators == 1 else 0.8
        if n_estimators > 1 or isinstance(max_samples, Integral) or max_samples < 1:  # the integer 1 is one row
            model = BaggedAutoEncoders([(model, n_estimators, max_samples)])
    if detector.random_state is not None:
        model.set_params(random_state=detector.random_state)
    return model


def default_bags(
    n_samples: int, n_features: int, novelty: bool, n_estimators: int | str, max_samples: float | str
) -> BaggedAutoEncoders:
    """Return denoising autoencoders for a table of which nothing is known; "auto" stands for what is chosen here."""
    if n_samples < 2:
        raise ValueError(f"Found array with {n_samples} sample(s) to train on while a minimum of 2 is required.")
    most = max(1, min(n_samples - 1, round(0.9 * n_samples)))  # the others tell a member's usual error
    if not isinstance(max_samples, str):
        sizes = [max_samples if isinstance(max_samples, Integral) else round(max_samples * n_samples)]
        if sizes[0] > most:
            warn_user(f"max_samples={max_samples} of {n_samples} rows leaves too few to compare with: {most} are used.")
    elif novelty:
        sizes = [min(N_STEPS * BATCH_SIZE, round(0.8 * n_samples))]
    else:  # few rows hardly hold outliers; more tell how columns depend on each other, where they are few of all
        sizes = [max(2, min(16, n_samples // 16)), *([64] if n_samples >= 256 else [])]
    sizes = sorted({max(1, min(size, most)) for size in sizes})
    make = _learn_normal_rows if novelty else _learn_few_rows
    if isinstance(n_estimators, str):
        n_estimators = 5 if novelty else len(sizes) * max(8, min(50, 50 * WIDE // n_features))
    numbers = [len(part) for part in np.array_split(np.empty(n_estimators), len(sizes))]
    bags = [(make(size, n_features), n, size) for size, n in zip(sizes, numbers, strict=True) if n]
    return BaggedAutoEncoders(bags, scale_free=True)


def _learn_few_rows(n_rows: int, n_features: int) -> DenoisingAutoEncoder:
    """Return an autoencoder with a prototype for each row, as far as there are 64."""
    return DenoisingAutoEncoder(
        min(n_rows, 64),
        network=MemoryNetwork(temperature=0.3),
        loss="absolute_error",
        noise_level=0.3,
        batch_size=64,
        learning_rate_init=1e-2,
        max_iter=100,
    )


def _learn_normal_rows(n_rows: int, n_features: int) -> DenoisingAutoEncoder:
    is_wide = n_features > WIDE
    return DenoisingAutoEncoder(
        64 if is_wide else max(1, min(3 * n_rows // 4, 1024)),
        hidden_layer_sizes=(128,),
        activation="silu",
        network=None if is_wide else MemoryNetwork(),
        noise_level=1.0 if is_wide else 0.3,
        batch_size=BATCH_SIZE,
        learning_rate_init=4e-3 if is_wide else 1e-2,
        max_iter=math.ceil(N_STEPS / math.ceil(n_rows / BATCH_SIZE)),
    )
