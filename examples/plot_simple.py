"""
A first autoencoder
===================

An autoencoder reduces a row to a few numbers, the code, and makes the row from them again. It is trained to lose as
little as possible on the way. Use it where you would use PCA: to compress rows, to draw them, as features. PCA does the
same with straight axes. An autoencoder may bend them.
"""

# %%
# Images of digits, a row each. A fourth of them is kept for the comparison.
import matplotlib.pyplot as plt
import numpy as np
from skae import AutoEncoderTransformer
from skae.plotting import LossCurveDisplay, ReconstructionDisplay
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)

# %%
# Eight numbers for an image, by PCA and by an autoencoder. Both have ``fit``, ``transform`` and ``inverse_transform``.
# Early stopping keeps the weights that are best for rows that are held out.
autoencoder = AutoEncoderTransformer(
    8, early_stopping=True, max_iter=100, random_state=0
)
for reducer in PCA(8), autoencoder:
    codes = reducer.fit(X_train).transform(X_test)
    error = np.mean((reducer.inverse_transform(codes) - X_test) ** 2)
    print(f"{type(reducer).__name__:24}mean squared error {error:.4f}")

# %%
# Images that it was not trained on, over what it makes of their codes.
ReconstructionDisplay.from_estimator(autoencoder, X_test, image_shape=image_shape)
plt.show()

# %%
# Did it train long enough? The curves should be flat at the end, and the one of the rows that are held out should not
# rise.
LossCurveDisplay.from_estimator(autoencoder)
plt.show()

# %%
# **Try next**: fewer or more components; ``hidden_layer_sizes=()``, which makes the network linear and its error that of
# PCA; ``--data mnist``. :ref:`sphx_glr_auto_examples_plot_deep.py` asks what the layers in between are good for.
