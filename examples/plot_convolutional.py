"""
=========================
Convolutional autoencoder
=========================

In a dense network every pixel has weights of its own. A convolutional network looks at small windows, with the same
weights everywhere in the image: it need not learn again in each corner what an edge is.

Choose it for images, and wherever neighbouring columns belong together. It takes longer to train than a dense network.
"""

# %%
# A row stays a row, as everywhere in scikit-learn. The network folds it into an image: ``image_shape`` has the channels
# first, one for grey, three for colours.
import matplotlib.pyplot as plt
from example_data import load_images
from sklearn.model_selection import train_test_split

from skae import AutoEncoderTransformer
from skae.networks import ConvNetwork, DenseNetwork
from skae.plotting import LossCurveDisplay, ReconstructionDisplay

X, y, image_shape = load_images()
X_train, X_test = train_test_split(X, random_state=0)

# %%
# Each entry of ``channels`` is a level, which halves height and width; the decoder mirrors the encoder. A linear layer
# lies between the last level and the code, here of 8 numbers for both networks.
networks = {
    "dense": DenseNetwork(hidden_layer_sizes=(256, 128), activation="silu"),
    "convolutional": ConvNetwork(
        image_shape=(1, *image_shape), channels=(32, 64), activation="silu"
    ),
}
fitted = {}
for name, network in networks.items():
    model = AutoEncoderTransformer(8, network=network, max_iter=50, random_state=0).fit(
        X_train
    )
    n_weights = sum(
        p.numel()
        for half in (model.encoder_, model.decoder_)
        for p in half.parameters()
    )
    print(
        f"{name:13s} {n_weights:7,d} weights, "
        f"squared error of training rows {-model.score(X_train):.4f}, "
        f"of others {-model.score(X_test):.4f}"
    )
    fitted[name] = model

# %%
# What counts is the error of rows that were not used for training. The convolutional network starts from a good guess
# about images, so it can do with fewer weights, and learns less by heart: its two errors are closer to each other.
ReconstructionDisplay.from_estimator(
    fitted["convolutional"], X_test, image_shape=image_shape
)
plt.show()

# %%
# The training losses, epoch by epoch, say the other half: the dense network gets further on the rows that it sees.
fig, ax = plt.subplots(layout="constrained")
for (name, model), linestyle in zip(fitted.items(), ("-", "--"), strict=True):
    curve = LossCurveDisplay(loss_curve=model.loss_curve_)
    curve.plot(ax, log=True, line_kw={"label": name, "linestyle": linestyle})
plt.show()

# %%
# Images of 8x8 pixels are about as small as they get. The larger the image, the more a convolution saves: try
# ``--data mnist`` or ``--data fashion-mnist``. ``ConvNetwork`` takes the place of a dense network in every other
# autoencoder too, for example in :ref:`sphx_glr_auto_examples_plot_denoising.py`.
