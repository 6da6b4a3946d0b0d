"""
Remove noise from images
========================

A denoising autoencoder sees rows with noise and learns to reproduce them without. It cannot copy its input, so it has to
learn what rows look like. ``predict`` then cleans new rows. Its codes, too, change less with small changes of a row,
which makes it a good first choice for codes and for outliers.
"""

# %%
# Noise as strong as the strokes. ``noise_level`` is its standard deviation, in the unit of the pixels. ``fit`` draws new
# noise for every batch, so it takes the clean images only.
import matplotlib.pyplot as plt
import numpy as np
from skae import DenoisingAutoEncoder
from skae.networks import ConvNetwork, DenseNetwork
from skae.plotting import ReconstructionDisplay
from sklearn.model_selection import train_test_split

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)
noise = np.random.default_rng(0).normal(scale=0.4, size=X_test.shape)
X_noisy = (X_test + noise).astype(np.float32)

# %%
# A dense and a convolutional network:
networks = {
    "dense": DenseNetwork((256,)),
    "convolutional": ConvNetwork(image_shape=(1, *image_shape), channels=(16, 32)),
}
print(f"mean squared error before     {np.mean((X_noisy - X_test) ** 2):.4f}")
for name, network in networks.items():
    denoiser = DenoisingAutoEncoder(
        32,
        network=network,
        noise_level=0.4,
        max_iter=50 if len(X) < 10_000 else 10,
        random_state=0,
    ).fit(X_train)
    cleaned = denoiser.predict(X_noisy)
    print(f"after the {name:20}{np.mean((cleaned - X_test) ** 2):.4f}")
    display = ReconstructionDisplay.from_estimator(
        denoiser, X_test, X_noisy=X_noisy, image_shape=image_shape
    )
    display.ax_.set_title(name)
    plt.show()

# %%
# From top to bottom: the image, what the network saw, and what it made of it.
#
# **Try next**: another ``corruption``: ``"masking"``, ``"salt_and_pepper"``, ``"swap"`` or a function of yours; a
# ``noise_level`` that is not that of the test; ``fit(X_noisy, X_clean)`` where you have such pairs.
