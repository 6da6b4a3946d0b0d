"""
Why is this row an outlier?
===========================

A detector that only says "outlier" is of little help. The error of an autoencoder is a sum over the values of a row, so
it says which of them it could not reproduce. ``explain`` returns these parts, and
:class:`~skae.plotting.ExplanationDisplay` draws them: as bars for a table, a map for an image, a curve for a sequence.
"""

# %%
# A row of a table
# ----------------
# Which measurements make a tumour unusual? The largest bars are where it differs most from what the networks expect,
# given all its other measurements.
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images, simulate_heartbeats
from sklearn.datasets import load_breast_cancer

from skae import (
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    DenoisingAutoEncoder,
)
from skae.networks import LSTMNetwork
from skae.plotting import ExplanationDisplay

X, _ = load_breast_cancer(return_X_y=True, as_frame=True)
detector = AutoEncoderOutlierDetector(random_state=0).fit(X)

parts = detector.explain(X)
print(
    "the parts of each row sum to its error:",
    np.allclose(parts.sum(axis=1), -detector.score_samples(X)),
)

worst = detector.score_samples(X).argmin()
ExplanationDisplay.from_estimator(detector, X.iloc[worst])
plt.show()

# %%
# An image
# --------
# Put a white blot on images that were not trained on. The detector knows nothing of blots. It was trained on whole
# images, with noise, and the error is where an image is not what it would be without noise.
X, _, (height, width) = load_images()
X_train, X_test = X[:-500], X[-500:]
denoiser = DenoisingAutoEncoder(32, noise_level=0.3, random_state=0)
detector = AutoEncoderOutlierDetector(denoiser, novelty=True).fit(X_train)

size = height // 4
corners = np.random.default_rng(0).integers(0, height - size + 1, (len(X_test), 2))
blots = np.zeros((len(X_test), height, width), dtype=bool)
for blot, (top, left) in zip(blots, corners, strict=True):
    blot[top : top + size, left : left + size] = True
blots = blots.reshape(len(X_test), -1)
stained = np.where(blots, 1, X_test)

largest = detector.explain(stained).to_numpy().argmax(axis=1)
found = blots[np.arange(len(blots)), largest]
print(f"the blot covers {blots.mean():.1%} of an image")
print(f"and has the pixel with the largest error in {found.mean():.0%} of the images")
worst = detector.score_samples(stained).argmin()
ExplanationDisplay.from_estimator(detector, stained[worst], image_shape=(height, width))
plt.show()

# %%
# A sequence
# ----------
# A recurrent network reads a heartbeat step by step. This one was trained on normal beats. The error shows where an
# abnormal one leaves the usual course.
X, y = simulate_heartbeats()
autoencoder = AutoEncoderTransformer(
    8,
    network=LSTMNetwork(sequence_shape=(140, 1), hidden_size=32),
    max_iter=10,
    random_state=0,
)
detector = AutoEncoderOutlierDetector(autoencoder, novelty=True).fit(X[:1000], y[:1000])

abnormal = X[1000:][y[1000:] == -1]
worst = detector.score_samples(abnormal).argmin()
ExplanationDisplay.from_estimator(detector, abnormal[worst], sequence_shape=(140, 1))
plt.show()

# %%
# The parts are what the error is made of, not what caused it. One wrong value can spoil the reconstruction of others,
# and then these have an error, too. Networks trained with noise do this less, as in the first two examples.
#
# **Try next**: ``--data mnist`` or ``--data fashion-mnist`` for larger images; ``detector.explain(X).mean()`` for the
# columns that are hardest to predict throughout a table.
