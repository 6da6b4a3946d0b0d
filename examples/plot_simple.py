"""
==================
Simple autoencoder
==================

An autoencoder learns to reproduce its input through a narrow code. The encoder maps a row to a few numbers, the decoder
maps these numbers back to a row, and both are trained so that what comes out is close to what went in.

In the simplest autoencoder both are linear. It then does what :class:`~sklearn.decomposition.PCA` does, and more
slowly: in practice use PCA. It is the place to start all the same, because everything else is built on it.
"""

# %%
# The digits have 64 pixels, between 0 (black) and 1 (white). With ``--data mnist`` this script runs on MNIST.
import matplotlib.pyplot as plt
from example_data import load_images
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from skae import AutoEncoderTransformer
from skae.plotting import LossCurveDisplay, ReconstructionDisplay

X, y, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)

# %%
# ``n_components`` is the width of the code, as in PCA. Without hidden layers, encoder and decoder are linear.
autoencoder = AutoEncoderTransformer(
    n_components=8, hidden_layer_sizes=(), random_state=0
).fit(X_train)
pca = PCA(n_components=8).fit(X_train)

codes = autoencoder.transform(X_test)
print(f"{X_test.shape[1]} pixels become {codes.shape[1]} numbers.")


# %%
# PCA finds the best linear code there is. Gradient descent finds its way to the same error:
def error(model, X):
    return mean_squared_error(X, model.inverse_transform(model.transform(X)))


print(f"squared error of PCA          {error(pca, X_test):.4f}")
print(f"squared error of autoencoder  {error(autoencoder, X_test):.4f}")

ax = LossCurveDisplay.from_estimator(autoencoder).ax_
ax.axhline(error(pca, X_train), color="grey", linestyle="--", label="PCA")
ax.set_ylim(bottom=0)
ax.legend()
plt.show()

# %%
# Pixels lie in [0, 1], but a linear decoder does not know it: it draws greys where the page is black. With
# ``loss="binary_cross_entropy"`` the outputs go through a sigmoid. Nothing else changes.
sigmoid = AutoEncoderTransformer(
    8, hidden_layer_sizes=(), loss="binary_cross_entropy", random_state=0
).fit(X_train)
print(f"squared error with a sigmoid  {error(sigmoid, X_test):.4f}")

ReconstructionDisplay.from_estimator(sigmoid, X_test, image_shape=image_shape)
plt.show()

# %%
# The digits are blurred, and some can be taken for others: there is only so much that 8 straight axes can say. Try
# another ``n_components``; then give the network hidden layers, as in :ref:`sphx_glr_auto_examples_plot_deep.py`.
