"""
=======================
Adversarial autoencoder
=======================

In an adversarial autoencoder a second network, the discriminator, learns to tell the codes of rows from draws of a
distribution that you choose, the prior. The encoder learns to deceive it. In the end the codes follow the prior, so
that new rows can be drawn.

Choose it where the codes are to have a certain form. For a plain normal distribution, the variational autoencoder is
simpler to train.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.model_selection import train_test_split

from skae import AdversarialAutoEncoder
from skae.plotting import CodeDisplay, SampleDisplay

X, y, image_shape = load_images()
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# The digits on a swiss roll
# --------------------------
# A swiss roll is a spiral. Its density is hard to write down, but it is easy to draw from, and that is all that is
# needed. It is a hard prior: in large steps, encoder and discriminator chase each other around, and part of the roll
# stays empty. We try two learning rates, the default and a smaller one.
models = [
    AdversarialAutoEncoder(
        2,
        prior="swiss_roll",
        adversarial_weight=0.3,
        learning_rate_init=rate,
        max_iter=60,
        random_state=0,
    ).fit(X_train)
    for rate in (4e-3, 1e-3)
]

# %%
# ``sample_codes`` draws from the prior, in grey below. ``prior_distance`` says how far the codes of rows are from it,
# between 0 and 1. Codes that do follow the prior are not quite at 0, for they are a sample too.
fig, axes = plt.subplots(
    1, 2, figsize=(10, 4.5), sharex=True, sharey=True, layout="constrained"
)
for model, ax in zip(models, axes, strict=True):
    ax.scatter(*model.sample_codes(2000).T, s=15, color="lightgrey")
    CodeDisplay.from_estimator(model, X_test[:2000], y_test[:2000], ax=ax)
    distance = model.prior_distance(X_test[:2000])
    ax.set_title(
        f"learning_rate_init={model.learning_rate_init:g}, "
        f"prior_distance {distance:.3f}"
    )
plt.show()

print(
    "By chance, codes that follow the prior are at about "
    f"{len(X_test[:2000]) ** -0.5:.3f}."
)

# %%
# Neither fit has seen these digits. With the small rate their codes cover the whole roll. They lie around it more than
# on it, because the encoder knows its own rows best.
#
# Along the roll
# --------------
# Codes drawn from the prior, sorted from the inner end of the roll to the outer one, and decoded: the digits pass by
# one after the other.
roll = models[1]
codes = roll.sample_codes(40)
codes = codes[np.argsort(np.hypot(*codes.T))]
SampleDisplay.from_samples(
    roll.inverse_transform(codes),
    image_shape=image_shape,
    n_samples=40,
    image_kw={"vmin": 0, "vmax": 1},
)
plt.show()

# %%
# To draw without an order, call ``sample``. Try ``prior="gaussian_mixture"``, ten clusters, or write a prior of your
# own: a function that draws codes.
