"""
Variational: draw new digits
============================

A variational autoencoder learns how likely rows are. Its encoder gives a distribution of codes rather than one code, and
all codes together are normal. So a code that is drawn at random makes a row that looks like the others. Choose it to
draw rows, to compare their likelihood, or for codes that fill the space evenly.
"""

# %%
import matplotlib.pyplot as plt
from skae import VariationalAutoEncoder
from skae.plotting import CodeDisplay, ManifoldDisplay, SampleDisplay
from sklearn.model_selection import train_test_split

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test, _, digits_test = train_test_split(X, digits, random_state=0)
vae = VariationalAutoEncoder(
    2,
    hidden_layer_sizes=(256, 128),
    activation="silu",
    loss="binary_cross_entropy",
    learning_rate_init=2e-3,
    max_iter=50 if len(X) < 10_000 else 30,
    random_state=0,
).fit(X_train)

# %%
# The codes of test images. The network has not seen a label.
shown = slice(0, 1000)
CodeDisplay.from_estimator(vae, X_test[shown], digits_test[shown])
plt.show()

# %%
# What does each place of this plane stand for? Decode a grid of it:
ManifoldDisplay.from_estimator(vae, image_shape=image_shape)
plt.show()

# %%
# New digits: codes drawn from the normal distribution, decoded.
SampleDisplay.from_estimator(vae, image_shape=image_shape, n_samples=30)
plt.show()

# %%
# ``score_samples`` is a lower bound on the log-density of a row, in nats. Rows that look like no digit have a low one:
print(f"digits:             {vae.score(X_test):8.1f} nats")
print(f"turned upside down: {vae.score(X_test[:, ::-1]):8.1f} nats")
print(f"negatives:          {vae.score(1 - X_test):8.1f} nats")

# %%
# **Try next**: more components, for sharper digits (the grid needs two); ``beta``, which weighs the two parts of the
# bound; ``--data mnist``.
