"""
Adversarial: codes on a swiss roll
==================================

An adversarial autoencoder gives its codes any distribution that you can draw from, the prior. Two networks play against
each other: one tells codes from draws of the prior, the encoder learns to deceive it. Choose it for a prior that has no
density, such as a swiss roll. For a normal one a variational autoencoder is simpler to train.
"""

# %%
# The digits, on a spiral. A learning rate below the default and a larger ``adversarial_weight`` are what fills it: with
# the defaults the codes of a part of the roll stay away.
import matplotlib.pyplot as plt
from skae import AdversarialAutoEncoder
from skae.plotting import CodeDisplay, SampleDisplay

from example_data import load_images

X, digits, image_shape = load_images()
autoencoder = AdversarialAutoEncoder(
    2,
    prior="swiss_roll",
    adversarial_weight=0.3,
    learning_rate_init=1e-3,
    max_iter=100 if len(X) < 10_000 else 20,
    random_state=0,
).fit(X)

# %%
# The prior, and the codes. ``sample_codes`` draws from the prior.
figure, axes = plt.subplots(
    1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained"
)
CodeDisplay.from_codes(autoencoder.sample_codes(1500), ax=axes[0])
axes[0].set_title("draws of the prior")
CodeDisplay.from_estimator(autoencoder, X[:1500], digits[:1500], ax=axes[1])
axes[1].set_title("codes of images")
plt.show()

# %%
# How near are they? ``prior_distance`` is 0 for codes that follow the prior, and at most 1.
print(f"adversarial         {autoencoder.prior_distance(X[:2000]):.3f}")
plain = AdversarialAutoEncoder(
    2, prior="swiss_roll", adversarial_weight=0, max_iter=20, random_state=0
).fit(X)
print(f"without adversary   {plain.prior_distance(X[:2000]):.3f}")

# %%
# A walk along the roll, from its inner end to the outer one. ``sample`` draws such images at random.
codes = autoencoder.sample_codes(3000)
order = (codes**2).sum(axis=1).argsort()[:: 3000 // 30]
SampleDisplay.from_samples(
    autoencoder.inverse_transform(codes[order]), image_shape=image_shape, n_samples=30
)
plt.show()

# %%
# These are the rows that it was trained on. The codes of new rows lie about the roll as well, less closely: a few
# thousand rows are not enough for a network to learn where on a thin spiral a new one belongs.
#
# **Try next**: ``prior="gaussian_mixture"`` or ``"uniform"``; a prior of your own, a function; ``--data mnist``.
