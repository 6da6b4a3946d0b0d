"""
==================
Sparse autoencoder
==================

A sparse autoencoder may have a wide code, but only few of its units may be active for any one row. Each unit then
stands for something that a part of the rows has, and can be looked at by itself.

Choose it to find out what the rows are made of. Do not choose it for the least error: the penalty costs some.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.model_selection import train_test_split

from skae import AutoEncoderTransformer, SparseAutoEncoder
from skae.networks import DenseNetwork
from skae.plotting import SampleDisplay

X, y, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)

# %%
# ``sparsity="kl"`` holds each of the 30 units at a mean activation of ``target_rate``. The units are sigmoids: 0 is
# silent, 1 is fully active. Beside it, the same network is trained without the penalty.
shared = {"loss": "binary_cross_entropy", "random_state": 0}
sparse = SparseAutoEncoder(
    30, hidden_layer_sizes=(), sparsity="kl", target_rate=0.05, **shared
)
plain = AutoEncoderTransformer(
    30, network=DenseNetwork((), code_activation="sigmoid"), **shared
)

for name, model in {"sparse": sparse, "plain": plain}.items():
    codes = model.fit(X_train).transform(X_test)
    active = np.mean(codes > 0.5 * codes.max(axis=0))
    error = np.mean((model.reconstruct(X_test) - X_test) ** 2)
    print(
        f"{name:6s} mean activation {codes.mean():.2f}, "
        f"active units {active:.0%}, squared error {error:.4f}"
    )


# %%
# What a unit stands for
# ----------------------
# Switch on a single unit, as far as it goes in any row, and decode. In the sparse autoencoder most units draw a digit,
# or a kind of it: the code works like an index of prototypes.
def draw_units(model):
    strongest = np.diag(model.transform(X_test).max(axis=0))
    return SampleDisplay.from_samples(
        model.inverse_transform(strongest), image_shape=image_shape, n_samples=30
    )


draw_units(sparse)
plt.show()

# %%
# Units of the plain autoencoder draw nothing that one could name. Only all of them together make a digit.
draw_units(plain)
plt.show()

# %%
# The price is the error, printed above. Try ``target_rate=0.2``: more units share a digit, and the error falls.
# ``sparsity="l1"`` puts a penalty on the size of the code instead.
