"""
================
Deep autoencoder
================

With hidden layers, the encoder and the decoder bend: the code follows a curved surface, where PCA has straight axes.
The same number of components then says more about a row.

This is the autoencoder to start with. Choose it where PCA loses too much, and where rows are many enough to learn a
curved surface from: some hundreds at least.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from skae import AutoEncoderTransformer
from skae.plotting import ReconstructionDisplay, SampleDisplay

X, y, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)

# %%
# ``hidden_layer_sizes`` describes the encoder, from the row to the code; the decoder mirrors it. The default is
# ``(128, 64)``. PCA gets a code of the same width.
deep = AutoEncoderTransformer(
    n_components=8, hidden_layer_sizes=(128, 64), random_state=0
).fit(X_train)
pca = PCA(n_components=8).fit(X_train)

reconstructions = {
    "PCA": pca.inverse_transform(pca.transform(X_test)),
    "deep": deep.reconstruct(X_test),
}
for name, rows in reconstructions.items():
    print(f"{name:4s} squared error {mean_squared_error(X_test, rows):.4f}")

# %%
# Both see the same ten digits that they were not trained on, PCA above and the deep autoencoder below:
fig, axes = plt.subplots(2, 1, figsize=(8, 3.6), layout="constrained")
for ax, (name, rows) in zip(axes, reconstructions.items(), strict=True):
    ReconstructionDisplay(
        originals=X_test[:10], reconstructions=rows[:10], image_shape=image_shape
    ).plot(ax)
    ax.set_title(name)
plt.show()

# %%
# Between two digits
# ------------------
# Halfway between the codes of two digits the decoder still draws strokes. PCA fades one digit into the other, as two
# slides laid on each other.
steps = np.linspace(0, 1, 10)[:, None]
walks = []
for model in (pca, deep):
    start, end = model.transform(X_test[:2])
    walks.append(model.inverse_transform((1 - steps) * start + steps * end))
names = np.repeat(["PCA", "deep"], 10)
SampleDisplay.from_samples(
    np.vstack(walks), names, image_shape=image_shape, image_kw={"vmin": 0, "vmax": 1}
)
plt.show()

# %%
# The error on rows that it was trained on says how much of this is learned by heart:
print(
    f"deep squared error of training rows {-deep.score(X_train):.4f}, "
    f"of others {-deep.score(X_test):.4f}"
)

# %%
# Where the second is much larger, more rows would help, or ``early_stopping=True``, or noise: see
# :ref:`sphx_glr_auto_examples_plot_denoising.py`. Try ``hidden_layer_sizes=(256, 128)`` and ``activation="silu"``.
