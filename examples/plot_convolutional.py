"""
Convolutional: pixels have neighbours
=====================================

A dense network sees an image as a list of pixels, in any order. A convolutional one knows which pixels are neighbours
and uses the same weights everywhere in the image. It needs fewer weights and often fewer images. Give any autoencoder a
``ConvNetwork`` as its ``network``. Rows stay rows: the network folds them.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from skae import AutoEncoderTransformer
from skae.networks import ConvNetwork, DenseNetwork
from skae.plotting import ReconstructionDisplay
from sklearn.model_selection import train_test_split

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)

# %%
# The same code of 16 numbers, the same loss, as many epochs. Pixels lie between 0 and 1, so that the cross-entropy is the
# natural loss.
networks = {
    "dense": DenseNetwork((128, 64)),
    "convolutional": ConvNetwork(image_shape=(1, *image_shape), channels=(16, 32)),
}
autoencoders = {}
for name, network in networks.items():
    autoencoder = AutoEncoderTransformer(
        16,
        network=network,
        loss="binary_cross_entropy",
        early_stopping=True,
        max_iter=40 if len(X) < 10_000 else 10,
        random_state=0,
    ).fit(X_train)
    modules = autoencoder.encoder_, autoencoder.decoder_
    n_weights = sum(weights.numel() for m in modules for weights in m.parameters())
    error = np.mean((autoencoder.reconstruct(X_test) - X_test) ** 2)
    print(f"{name:14}{n_weights:8,} weights   mean squared error {error:.4f}")
    autoencoders[name] = autoencoder

# %%
figure, axes = plt.subplots(2, 1, figsize=(8, 4), layout="constrained")
for ax, (name, autoencoder) in zip(axes, autoencoders.items(), strict=True):
    ReconstructionDisplay.from_estimator(
        autoencoder, X_test, image_shape=image_shape, ax=ax
    )
    ax.set_title(name)
plt.show()

# %%
# On images of 8x8 pixels there is little for a convolution to find, and the dense network is faster. On larger ones it
# pays: see ``--data mnist``.
#
# **Try next**: more ``channels``, one number a level; ``down="pool"`` and ``up="upsample"``, as in the classic
# tutorials; images in colour, ``image_shape=(3, height, width)``.
