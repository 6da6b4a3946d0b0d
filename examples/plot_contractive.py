"""
Contractive: codes that hold still
==================================

A contractive autoencoder pays for the slope of its encoder. The code then changes little with the row, except where it
must: along the directions in which rows differ from each other. Choose it for smooth codes before a method that uses
distances. A denoising autoencoder has much the same effect and is faster.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from skae import ContractiveAutoEncoder
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)


# %%
# How far does a code move if its row moves by a tenth of its own length? Compare two directions: random noise, in which
# real images do not differ, and that to the most similar other image. Distances are relative to the spread of the codes.
noise = np.random.default_rng(0).normal(size=X_test.shape)
nearest = NearestNeighbors(n_neighbors=2).fit(X_test).kneighbors(X_test)[1][:, 1]
to_neighbour = X_test[nearest] - X_test


def distance_moved(autoencoder, directions):
    lengths = np.linalg.norm(X_test, axis=1, keepdims=True)
    steps = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    codes = autoencoder.transform(X_test)
    moved = autoencoder.transform((X_test + 0.1 * lengths * steps).astype(np.float32))
    return np.linalg.norm(moved - codes, axis=1).mean() / codes.std(axis=0).sum()


# %%
weights = [0, 1e-5, 1e-4, 1e-3]
moves = {"noise": [], "the nearest image": []}
for weight in weights:
    autoencoder = ContractiveAutoEncoder(
        16,
        hidden_layer_sizes=(128,),
        activation="sigmoid",
        contraction_weight=weight,
        random_state=0,
    ).fit(X_train)
    moves["noise"].append(distance_moved(autoencoder, noise))
    moves["the nearest image"].append(distance_moved(autoencoder, to_neighbour))
    error = np.mean((autoencoder.reconstruct(X_test) - X_test) ** 2)
    print(f"contraction_weight={weight:<8}mean squared error {error:.4f}")

# %%
figure, ax = plt.subplots(layout="constrained")
for (direction, values), marker in zip(moves.items(), "os", strict=True):
    ax.plot(values, marker=marker, label=f"towards {direction}")
ax.set_xticks(range(len(weights)), weights)
ax.set(xlabel="contraction_weight", ylabel="distance that codes move", ylim=(0, None))
ax.legend(frameon=False)
plt.show()

# %%
# The larger the weight, the less codes move with noise, and the more noise is ignored beside real differences. The price
# is a larger error.
#
# **Try next**: ``method="stochastic"``, for any network, such as a ``ConvNetwork``; a ``DenoisingAutoEncoder`` in its
# place.
