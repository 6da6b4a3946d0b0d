"""
An autoencoder before t-SNE
===========================

t-SNE draws rows that are near each other close together. On images, near means: with similar pixels. But a digit that
is slanted has other pixels than the same digit upright. An autoencoder can be told that slant does not matter, and
t-SNE of its codes then draws the same digits together. Do so where you know a variation that should not count. Where
you know none, PCA before t-SNE is hard to beat.
"""

# %%
# Digits as they come from a camera: each a little sheared, stretched, turned and moved, at random. MNIST (``--data
# mnist``) stays as it is: people slant their digits anyway.
import matplotlib.pyplot as plt
import torch
from example_data import load_images
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from skae import DenoisingAutoEncoder
from skae.networks import DenseNetwork
from skae.plotting import CodeDisplay, SampleDisplay

originals, y, (height, width) = load_images()
small = len(originals) < 10_000
strength = 0.15 if small else 0.07


def distort(x, generator):
    """Distort a batch of images, (n, height * width), each in its own way."""
    noise = torch.randn(len(x), 2, 3, generator=generator, device=x.device)
    maps = torch.eye(2, 3, device=x.device) + strength * noise * torch.tensor(
        [1, 1, 0.3], device=x.device
    )
    grid = F.affine_grid(maps, (len(x), 1, height, width), align_corners=False)
    return F.grid_sample(
        x.view(-1, 1, height, width), grid, align_corners=False
    ).view_as(x)


X = (
    distort(torch.from_numpy(originals), torch.Generator().manual_seed(0)).numpy()
    if small
    else originals
)
SampleDisplay.from_samples(X, y, image_shape=(height, width))
plt.show()

# %%
# A corruption is a function of a batch. The autoencoder gets each image distorted once more and has to give it back as
# it was. To do so for all distortions, the code must say what is drawn and leave out how. It sees neither labels nor
# the originals. Of MNIST 60,000 rows train and others are drawn.
X_train, shown = (X, slice(None)) if small else (X[:60_000], slice(60_000, 64_000))
denoiser = DenoisingAutoEncoder(
    32,
    corruption=distort,
    network=DenseNetwork((500,), "silu", tied_weights=True),
    max_iter=100 if small else 6,
    random_state=0,
)
rows = {
    "pixels": X[shown],
    "32 components of PCA": PCA(32, random_state=0).fit(X_train).transform(X[shown]),
    "32 codes of the autoencoder": denoiser.fit(X_train).transform(X[shown]),
}

# %%
# How good is a map? We ask how often the nearest point is of the same class, and by trustworthiness whether rows that
# are near in the map are so in the originals, pixel by pixel.
figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
figure.suptitle("t-SNE, and how often the nearest point is of the same class")
print(f"t-SNE of {'':25s} nearest point of the same class   trustworthiness")
for ax, (name, Z) in zip(axes, rows.items(), strict=True):
    points = TSNE(random_state=0).fit_transform(Z)
    accuracy = cross_val_score(KNeighborsClassifier(1), points, y[shown]).mean()
    trust = trustworthiness(originals[shown], points, n_neighbors=12)
    print(f"{name:34s} {accuracy:31.3f} {trust:17.3f}")
    CodeDisplay.from_codes(points, y[shown], ax=ax)
    ax.set_title(f"{name}: {accuracy:.1%}")
    ax.set_axis_off()
plt.show()

# %%
# What was chosen on which data: the network and the strength for MNIST on the very 4,000 rows that ``--data mnist``
# draws; for the small digits the strength is that of the distortion itself. Your data have another one, which you can
# guess from a picture as the first one here. Too strong a distortion makes different rows alike.
#
# **Try next**: ``corruption="gaussian"`` or ``"masking"``, if noise is what should not count.
