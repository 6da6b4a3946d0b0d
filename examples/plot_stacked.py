"""
Stacked: layer by layer, and few labels
=======================================

Deep networks of sigmoids hardly train from random weights. The remedy of 2006, with which deep learning began, trains
one layer after the other, each as an autoencoder of the codes below it, and then the whole network. With noise in each
of these trainings it is the stacked denoising autoencoder. A softmax on top makes a classifier that needs few labels.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from skae import StackedAutoEncoder, StackedAutoEncoderClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from example_data import load_images

X, digits, image_shape = load_images()
X_train, X_test, y_train, y_test = train_test_split(X, digits, random_state=0)

# %%
# Four layers of sigmoids with tied weights: the decoder uses those of the encoder. From random weights, and after ten
# epochs of training for each layer.
settings = {
    "hidden_layer_sizes": (256, 128, 64),
    "activation": "sigmoid",
    "max_iter": 30,
    "random_state": 0,
}
autoencoders = {
    "from random weights": StackedAutoEncoder(16, pretrain_max_iter=0, **settings),
    "stacked": StackedAutoEncoder(16, pretrain_max_iter=10, **settings),
    "stacked denoising": StackedAutoEncoder(
        16, pretrain_max_iter=10, corruption="masking", **settings
    ),
}
figure, ax = plt.subplots(layout="constrained")
for style, (name, autoencoder) in zip(
    ("-", "--", ":"), autoencoders.items(), strict=True
):
    autoencoder.fit(X_train)
    print(f"{name:22}mean squared error {-autoencoder.score(X_test):.4f}")
    ax.plot(autoencoder.loss_curve_, style, label=name)
ax.set(xlabel="epoch of the whole network", ylabel="training loss", ylim=(0, None))
ax.legend(frameon=False)
plt.show()

# %%
# The pre-trained networks begin where the other one may never arrive. With ``activation="relu"`` there is no such gap:
# stack sigmoids, and nothing else.
#
# Now suppose that somebody has labelled a few of the images only. The other rows have the label -1: their layers are
# trained on all rows, the softmax on those with a label.
for n_labelled in 50, 200:
    known = np.arange(len(y_train)) < n_labelled
    classifier = StackedAutoEncoderClassifier(
        64,
        hidden_layer_sizes=(200,),
        pretrain_max_iter=30,
        learning_rate_init=1e-3,
        random_state=0,
    ).fit(X_train, np.where(known, y_train, -1))
    linear = LogisticRegression(max_iter=1000).fit(X_train[known], y_train[known])
    print(
        f"{n_labelled:3} labels: accuracy {classifier.score(X_test, y_test):.3f}, "
        f"logistic regression {linear.score(X_test, y_test):.3f}"
    )

# %%
# **Try next**: ``pretrain_max_iter=0`` in the classifier, to see what pre-training adds; ``--data mnist``, where rows
# without a label are many; :ref:`sphx_glr_auto_examples_plot_conditional.py`, which learns from few labels as well.
