"""
===================
Stacked autoencoder
===================

A stacked autoencoder is trained layer by layer. The first layer learns to reproduce the rows, the second to reproduce
the output of the first, and so on; then all of them are fine-tuned together. This is how deep networks were first
trained, when their units were sigmoids and gradients got lost on the way to the first layer.

Choose it for deep networks of sigmoids, and its classifier where rows are many and labels are few. With the default
activation, relu, training the whole network at once does as well.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skae import StackedAutoEncoder, StackedAutoEncoderClassifier
from skae.plotting import LossCurveDisplay, ReconstructionDisplay

X, y, image_shape = load_images()
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# Greedy pre-training
# -------------------
# Four layers of sigmoids, with 10 epochs of pre-training for each and 20 of fine-tuning. The same network from random
# weights gets the same number of epochs.
deep = {
    "hidden_layer_sizes": (256, 128, 64),
    "activation": "sigmoid",
    "random_state": 0,
}
stacked = {
    "random weights": StackedAutoEncoder(16, pretrain_max_iter=0, max_iter=60, **deep),
    "pre-trained": StackedAutoEncoder(16, pretrain_max_iter=10, max_iter=20, **deep),
    "pre-trained with noise": StackedAutoEncoder(
        16, corruption="masking", pretrain_max_iter=10, max_iter=20, **deep
    ),
}
X_masked = X_test * (
    np.random.default_rng(0).random(X_test.shape) > 0.2
)  # a fifth of the pixels is black
print(f"{'squared error of':24s}  images  masked images")
for name, model in stacked.items():
    model.fit(X_train)
    error_masked = np.mean((model.reconstruct(X_masked) - X_test) ** 2)
    print(f"{name:24s}  {-model.score(X_test):.4f}  {error_masked:.4f}")
print(f"{'the mean image':24s}  {np.mean((X_test - X_train.mean(0)) ** 2):.4f}")

# %%
# From random weights the network learns little more than the mean image. After pre-training, fine-tuning starts where
# the other never gets. With ``corruption`` it is the stacked denoising autoencoder: worse on clean images, and better
# where something is missing.
fig, ax = plt.subplots(layout="constrained")
for name, linestyle in (("random weights", "-"), ("pre-trained", "--")):
    curve = LossCurveDisplay(loss_curve=stacked[name].loss_curve_)
    curve.plot(ax, line_kw={"label": name, "linestyle": linestyle})
ax.set_ylim(bottom=0)
plt.show()

# %%
ReconstructionDisplay.from_estimator(
    stacked["pre-trained with noise"], X_test, X_noisy=X_masked, image_shape=image_shape
)
plt.show()

# %%
# A classifier from few labels
# ----------------------------
# Now only a few digits of each class have a label; the others are labelled -1, unknown. Pre-training uses all rows,
# the softmax on top those with a label. The alternatives can use the labelled rows only.
wide = {
    "hidden_layer_sizes": (200, 200),
    "learning_rate_init": 1e-3,
    "max_iter": 50,
    "random_state": 0,
}
print("labels  logistic regression  random weights  pre-trained")
for n_each in (2, 5, 10):
    known = np.concatenate(
        [np.flatnonzero(y_train == label)[:n_each] for label in range(10)]
    )
    y_few = np.full_like(y_train, -1)
    y_few[known] = y_train[known]
    accuracies = (
        LogisticRegression(max_iter=1000)
        .fit(X_train[known], y_train[known])
        .score(X_test, y_test),
        StackedAutoEncoderClassifier(200, pretrain_max_iter=0, **wide)
        .fit(X_train, y_few)
        .score(X_test, y_test),
        StackedAutoEncoderClassifier(200, pretrain_max_iter=10, **wide)
        .fit(X_train, y_few)
        .score(X_test, y_test),
    )

# %%
# With so few labels the accuracy depends much on which rows have one: repeat it with others before you trust a
# difference of a few percent. On MNIST these layers are too narrow: there take three of 500 units. Try
# ``activation="relu"`` in the first part: the random weights then catch up.
