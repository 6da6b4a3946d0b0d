"""
=====================
Denoising autoencoder
=====================

A denoising autoencoder is given noisy rows and has to return the clean ones. It cannot copy its input, so it has to
learn how the columns depend on each other.

Choose it to clean rows, and for codes and outlier scores that do not hang on the details of a row: unless rows are many
and clean, it is a better default than the plain autoencoder.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from skae import DenoisingAutoEncoder
from skae.networks import ConvNetwork
from skae.plotting import ReconstructionDisplay

X, y, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)
X_noisy = (X_test + np.random.default_rng(0).normal(0, 0.3, X_test.shape)).astype(
    np.float32
)

# %%
# Training takes clean rows. The noise is added in training, new for every batch, so that no row is seen twice in the
# same way. The classic tutorials train a dense and a convolutional network.
dense = DenoisingAutoEncoder(32, noise_level=0.3, random_state=0).fit(X_train)
convolutional = DenoisingAutoEncoder(
    32,
    network=ConvNetwork((1, *image_shape), channels=(32, 64)),
    noise_level=0.3,
    max_iter=50,
    random_state=0,
).fit(X_train)

# %%
# PCA removes noise as well, by leaving out the components in which there is little else. It gets its best number of
# components here, found on the test rows, which is more than is fair.
pcas = [PCA(k).fit(X_train) for k in (4, 8, 16, 32)]
cleaned = {
    "nothing": X_noisy,
    "PCA": min(
        (pca.inverse_transform(pca.transform(X_noisy)) for pca in pcas),
        key=lambda X: mean_squared_error(X_test, X),
    ),
    "dense": dense.predict(X_noisy),
    "convolutional": convolutional.predict(X_noisy),
}
print("Squared distance to the clean images, after cleaning by")
for name, rows in cleaned.items():
    print(f"{name:14s}{mean_squared_error(X_test, rows):.4f}")

# %%
# The dense network on top, the convolutional one below. Neither has seen these digits. Where the noise leaves little of
# one, they draw a likely digit, not always the right one.
fig, axes = plt.subplots(2, 1, figsize=(8, 5), layout="constrained")
for ax, model, title in zip(
    axes, (dense, convolutional), ("dense", "convolutional"), strict=True
):
    ReconstructionDisplay.from_estimator(
        model, X_test, X_noisy=X_noisy, image_shape=image_shape, ax=ax
    )
    ax.set_title(title)
plt.show()

# %%
# Other noise has other names: ``corruption="masking"`` sets pixels to black, ``"salt_and_pepper"`` to black or white,
# ``"swap"`` takes them from other rows, and a function of yours does what it likes. Where pairs of noisy and clean rows
# exist, give both: ``fit(X_noisy, X_clean)``.
