"""
=======================
Contractive autoencoder
=======================

A contractive autoencoder is penalised for a code that moves when the row moves. The code has to move along the
directions in which rows differ from each other, or they could not be told apart; in all other directions it stays where
it is.

Choose it for smooth codes, before a method that measures distances between them. A denoising autoencoder reaches much
the same for less, and takes any network.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skae import ContractiveAutoEncoder
from skae.plotting import ReconstructionDisplay

X, y, image_shape = load_images()
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# ``contraction_weight`` is that of the penalty, the squared norm of the encoder's Jacobian. With 0 this is a plain
# autoencoder.
models = {
    weight: ContractiveAutoEncoder(
        16,
        hidden_layer_sizes=(128,),
        activation="silu",
        contraction_weight=weight,
        max_iter=50,
        random_state=0,
    ).fit(X_train)
    for weight in (0, 3e-4, 1e-3)
}

# %%
# How far does a code move if every pixel gets a little noise? The unit is the typical distance of a code to the mean
# code. Contraction has its price, a larger error; and a calmer code need not be a better one for what comes next, here
# a classification by the nearest code.
noise = np.random.default_rng(0).normal(0, 0.1, X_test.shape).astype(np.float32)
print("weight  moves by  squared error  accuracy of the nearest neighbour")
spreads = {}
for weight, model in models.items():
    codes = model.transform(X_test)
    spreads[weight] = np.sqrt(((codes - codes.mean(0)) ** 2).sum(1).mean())
    moves = (
        np.linalg.norm(model.transform(X_test + noise) - codes, axis=1).mean()
        / spreads[weight]
    )
    accuracy = (
        KNeighborsClassifier(1)
        .fit(model.transform(X_train), y_train)
        .score(codes, y_test)
    )
    print(f"{weight:6g}  {moves:8.3f}  {-model.score(X_test):13.4f}  {accuracy:.3f}")


# %%
# In which directions does it move?
# ---------------------------------
# The singular values of the Jacobian say how much the code reacts to a change of the row in its direction of most
# effect, of second most, and so on. Here they are estimated by small steps in each pixel, over 50 images.
def singular_values(model, x, step=0.01):
    steps = step * np.eye(len(x), dtype=np.float32)
    jacobian = (model.transform(x + steps) - model.transform(x - steps)) / (2 * step)
    return np.linalg.svd(jacobian, compute_uv=False)


for (weight, model), marker in zip(models.items(), "os^", strict=True):
    values = (
        np.mean([singular_values(model, x) for x in X_test[:50]], axis=0)
        / spreads[weight]
    )
    plt.plot(
        range(1, 17), values, marker=marker, label=f"contraction_weight={weight:g}"
    )
plt.xlabel("direction")
plt.ylabel("reaction of the code")
plt.ylim(bottom=0)
plt.legend()
plt.show()

# %%
# The plain code reacts to all 16 directions alike. The contractive ones keep a few and flatten the rest: these few are
# the ways in which a digit can change and still be a digit. What the strongest contraction still reproduces:
ReconstructionDisplay.from_estimator(models[1e-3], X_test, image_shape=image_shape)
plt.show()

# %%
# Raise ``contraction_weight`` until the error is the largest that you can accept. For networks that are not dense set
# ``method="stochastic"``.
