"""
Shallow, deep, linear
=====================

``hidden_layer_sizes`` are the layers between a row and its code. Without any, the network is linear and can do no more
than PCA. With one or more it can bend its axes. How deep need it be?
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from skae import AutoEncoderTransformer
from skae.plotting import CodeDisplay
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test, _, digits_test = train_test_split(X, digits, random_state=0)

# %%
# Two components, so that the codes can be drawn. Test rows, in nothing but these two numbers:
networks = {"linear": (), "shallow": (128,), "deep": (256, 128, 64)}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
pca = PCA(2, random_state=0).fit(X_train)
residuals = X_test - pca.inverse_transform(pca.transform(X_test))
print(f"PCA      mean squared error {np.mean(residuals**2):.4f}")
for ax, (name, layers) in zip(axes, networks.items(), strict=True):
    autoencoder = AutoEncoderTransformer(
        2,
        hidden_layer_sizes=layers,
        early_stopping=True,
        n_iter_no_change=20,
        max_iter=150,
        random_state=0,
    ).fit(X_train)
    print(f"{name:9}mean squared error {-autoencoder.score(X_test):.4f}")
    shown = slice(0, 1000)
    CodeDisplay.from_estimator(autoencoder, X_test[shown], digits_test[shown], ax=ax)
    ax.set_title(f"{name} {layers}")
plt.show()

# %%
# The linear network ends near PCA's error. The others find the digits without having seen a label: rows that look alike
# get codes that are near each other.
#
# **Try next**: ``n_components=8``, where the layers matter less; another ``activation``;
# :ref:`sphx_glr_auto_examples_plot_variational.py` for codes that fill the plane evenly.
