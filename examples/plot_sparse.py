"""
Sparse codes: one unit, one stroke
==================================

A code of a hundred numbers, of which only a few may be active in each row. Such a code does not compress. It takes
rows apart into pieces that can be looked at one by one. Choose it to see what rows are made of.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from skae import AutoEncoderTransformer, SparseAutoEncoder
from skae.networks import DenseNetwork
from skae.plotting import ReconstructionDisplay, SampleDisplay
from sklearn.model_selection import train_test_split

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)

# %%
# Both have one layer and a hundred units that cannot be negative. The sparse one pays for the sum of its code.
settings = {"n_components": 100, "max_iter": 60, "random_state": 0}
plain = AutoEncoderTransformer(
    network=DenseNetwork((), code_activation="relu"), **settings
)
sparse = SparseAutoEncoder(hidden_layer_sizes=(), sparsity_weight=0.1, **settings)
for autoencoder in plain, sparse:
    active = np.mean(autoencoder.fit(X_train).transform(X_test) > 0.01)
    print(
        f"{type(autoencoder).__name__:24}active units {active:6.1%}   "
        f"mean squared error {-autoencoder.score(X_test):.4f}"
    )

# %%
# Sparseness costs some error. The images are still reproduced:
ReconstructionDisplay.from_estimator(sparse, X_test, image_shape=image_shape)
plt.show()


# %%
# What does a unit stand for? The decoder is linear, so a code in which it alone is active shows what the unit adds to an
# image. The forty units that are active most:
def pieces(autoencoder):
    order = np.argsort(-autoencoder.transform(X_test).mean(axis=0))[:40]
    alone = autoencoder.inverse_transform(np.eye(100, dtype=np.float32)[order])
    nothing = autoencoder.inverse_transform(np.zeros((1, 100), dtype=np.float32))
    parts = alone - nothing
    return parts / np.abs(parts).max(axis=1, keepdims=True)


for autoencoder in plain, sparse:
    display = SampleDisplay.from_samples(
        pieces(autoencoder), image_shape=image_shape, n_samples=40
    )
    display.ax_.set_title(type(autoencoder).__name__)
    plt.show()

# %%
# The plain units are mixtures of everything, the sparse ones strokes and parts of digits.
#
# **Try next**: a larger ``sparsity_weight``; ``sparsity="kl"``, which holds the mean activation of every unit at
# ``target_rate``; ``--data mnist``.
