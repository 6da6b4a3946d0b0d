"""
Conditional: a row a digit
==========================

A conditional variational autoencoder is told the class of each row. Its code then need not say *which* digit it is, only
*how* it is written. So it can draw a digit of your choice, and write one digit in the hand of another. Classes may be
unknown for some rows, or for most.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from skae import ConditionalVariationalAutoEncoder
from skae.plotting import SampleDisplay
from sklearn.model_selection import train_test_split

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test, y_train, y_test = train_test_split(X, digits, random_state=0)
cvae = ConditionalVariationalAutoEncoder(
    4,
    hidden_layer_sizes=(256, 128),
    activation="silu",
    loss="binary_cross_entropy",
    learning_rate_init=2e-3,
    max_iter=30 if len(X) < 10_000 else 10,
    random_state=0,
)
cvae.fit(X_train, y_train)
SampleDisplay.from_estimator(cvae, image_shape=image_shape, n_samples=10)
plt.show()

# %%
# Each row is a digit, each image another code.
#
# Where a class is unknown, ``y`` is -1. The network infers it. With a tenth of the labels:
known = np.random.default_rng(0).random(len(y_train)) < 0.1
for name, labels in {
    "all labels": y_train,
    "a tenth of them": np.where(known, y_train, -1),
}.items():
    predicted = cvae.fit(X_train, labels).predict(X_test)
    print(f"{name:16}accuracy {np.mean(predicted == y_test):.3f}")

# %%
# It still draws a digit a row:
SampleDisplay.from_estimator(cvae, image_shape=image_shape, n_samples=10)
plt.show()

# %%
# **Try next**: fewer labels; ``--data fashion-mnist``;
# :ref:`sphx_glr_auto_examples_plot_stacked.py`, a classifier alone, which is faster.
