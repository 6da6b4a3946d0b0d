"""
Missing values filled in
========================

A denoising autoencoder that learns to undo masking fills in what is missing. It looks at all other values of the row at
once, and at how they depend on each other along curves. Use it where columns are many and related, and where you have
rows enough to learn from. It needs no complete row to train on.
"""

# %%
# Digits in which half of the pixels are missing, at random. Three quarters of the images train, and none of them is
# complete.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skae import DenoisingAutoEncoder
from skae.plotting import ReconstructionDisplay

# IterativeImputer would go on beyond its rounds.
warnings.simplefilter("ignore", ConvergenceWarning)

images, _, image_shape = load_images()
images = images[:10_000]
rng = np.random.default_rng(0)


def with_holes(X, share):
    return np.where(rng.random(X.shape) < share, np.nan, X)


X_train, X_test = train_test_split(images, random_state=0)
holes_train, holes_test = with_holes(X_train, 0.5), with_holes(X_test, 0.5)

denoiser = DenoisingAutoEncoder(
    corruption="masking", noise_level=0.3, activation="silu", random_state=0
)
denoiser.fit(holes_train)

grey = plt.colormaps["gray"].with_extremes(bad="tab:orange")  # the colour of the holes
ReconstructionDisplay.from_estimator(
    denoiser,
    X_test,
    X_noisy=holes_test,
    image_shape=image_shape,
    image_kw={"cmap": grey},
)
plt.show()

# %%
# Only the holes are filled; what is known stays. How far off is it, against scikit-learn's imputers?


def compare(X, holes, imputers):
    missing = np.isnan(holes)
    for name, fill_in in imputers.items():
        error = np.sqrt(np.mean((fill_in(holes) - X)[missing] ** 2))
        print(f"{name:18s} root mean squared error {error:.3f}")


imputers = {
    "SimpleImputer": SimpleImputer(keep_empty_features=True).fit(holes_train).transform,
    "KNNImputer": KNNImputer(keep_empty_features=True).fit(holes_train).transform,
}
if images.shape[1] < 100:  # it fits a regression for each column
    iterative = IterativeImputer(
        min_value=0, max_value=1, keep_empty_features=True, random_state=0
    )
    imputers["IterativeImputer"] = iterative.fit(holes_train).transform
imputers["autoencoder"] = denoiser.reconstruct
compare(X_test, holes_test, imputers)

# %%
# It is not always the best one. The columns of this table are radii, perimeters and areas of the same cells, hardly
# anything is missing, and rows are few. There a linear regression for each column is better.
table = StandardScaler().fit_transform(load_breast_cancer().data)
X_train, X_test = train_test_split(table, random_state=0)
holes_train, holes_test = with_holes(X_train, 0.1), with_holes(X_test, 0.1)
denoiser = DenoisingAutoEncoder(corruption="masking", random_state=0).fit(holes_train)
compare(
    X_test,
    holes_test,
    {
        "SimpleImputer": SimpleImputer().fit(holes_train).transform,
        "KNNImputer": KNNImputer().fit(holes_train).transform,
        "IterativeImputer": IterativeImputer(max_iter=20, random_state=0)
        .fit(holes_train)
        .transform,
        "autoencoder": denoiser.reconstruct,
    },
)

# %%
# Activation and noise were chosen on a part of the training images, of the digits.
#
# **Try next**: other shares of missing values; a table with text, whose missing categories are filled in, too, as in
# :ref:`sphx_glr_auto_examples_plot_table.py`; ``--data mnist``.
