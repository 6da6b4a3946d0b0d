"""
=======================
Variational autoencoder
=======================

A variational autoencoder maps a row not to a point but to a small cloud of codes, and is penalised where these clouds,
taken together, are not spread like a normal distribution. The codes then leave no gaps: any code drawn from the normal
distribution can be decoded to a row that might have been in the data.

Choose it to draw new rows, to compare how likely rows are, or for codes that fill the space evenly. Do not choose it
for the sharpest reconstruction.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.model_selection import train_test_split

from skae import VariationalAutoEncoder
from skae.plotting import CodeDisplay, ManifoldDisplay, SampleDisplay

X, y, image_shape = load_images()
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# A plane of digits
# -----------------
# With two components the code can be drawn. Pixels lie in [0, 1], which is what ``loss="binary_cross_entropy"`` is for.
# The classes, which give the colours, are not used in training.
plane = VariationalAutoEncoder(
    2, loss="binary_cross_entropy", max_iter=60, random_state=0
).fit(X_train)

CodeDisplay.from_estimator(plane, X_test, y_test)
plt.show()

# %%
# Most digits have a region of their own. Now the other way round, from codes to images: neighbours on the grid resemble
# each other, and one digit turns into the next without a break.
ManifoldDisplay.from_estimator(plane, image_shape=image_shape, n_steps=10)
plt.show()

# %%
# New digits
# ----------
# For drawing there is no need to stay in the plane. ``sample`` draws codes from the normal distribution and decodes
# them. Nobody wrote these digits:
vae = VariationalAutoEncoder(
    8, loss="binary_cross_entropy", max_iter=60, random_state=0
).fit(X_train)

SampleDisplay.from_estimator(vae, image_shape=image_shape, n_samples=30)
plt.show()

# %%
# How likely is a row?
# --------------------
# ``score_samples`` is a lower bound on the logarithm of a row's density, in nats. Digits that are upside down, or whose
# pixels are noise, are less likely. It is a number to compare rows by; by itself it says nothing.
upside_down = X_test.reshape(-1, *image_shape)[:, ::-1].reshape(X_test.shape)
noise = np.random.default_rng(0).permuted(X_test, axis=1)
for name, rows in {
    "training digits": X_train,
    "new digits": X_test,
    "upside down": upside_down,
    "noise": noise,
}.items():
    print(f"{name:15s} {vae.score(rows):8.1f} nats")

# %%
# Some samples are blurred, or lie between two digits. Try ``beta=0.5``: reconstructions become sharper. See whether the
# samples do, too. To say which digit to draw, see :ref:`sphx_glr_auto_examples_plot_conditional.py`.
