"""
Codes as features, beside PCA
=============================

A few numbers for a row instead of many: for a simple classifier, for a store, for a distance that makes sense. PCA
finds the best ones that are linear in the row. An autoencoder's code may bend. It goes where PCA goes, into a pipeline
and a grid search, and it is worth its time where a handful of numbers has to do.
"""

# %%
# Digits, a quarter of them for the test. (Of MNIST 10,000 rows, to keep it short.)
import matplotlib.pyplot as plt
import pandas as pd
from example_data import load_images
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skae import DenoisingAutoEncoder
from skae.model_selection import BatchedGridSearchCV
from skae.plotting import LossCurveDisplay, ReconstructionDisplay

X, y, image_shape = load_images()
X_train, X_test, y_train, y_test = train_test_split(
    X[:10_000], y[:10_000], random_state=0
)

# %%
# The step "reduce" is PCA or an autoencoder, and the search tries both with several numbers of components. A code's
# components have different units, so they are standardised before the classifier.
pipeline = Pipeline(
    [("reduce", PCA()), ("scale", StandardScaler()), ("classify", LogisticRegression())]
)
grid = {
    "reduce": [PCA(random_state=0), DenoisingAutoEncoder(max_iter=50, random_state=0)],
    "reduce__n_components": [2, 4, 8, 16, 32],
}
search = GridSearchCV(pipeline, grid, cv=3).fit(X_train, y_train)

results = pd.DataFrame(search.cv_results_)
results["reduce"] = [type(step).__name__ for step in results["param_reduce"]]
table = results.pivot(
    index="param_reduce__n_components", columns="reduce", values="mean_test_score"
)
print(table.round(3))
best = search.best_estimator_["reduce"]
print(f"\nchosen: {type(best).__name__}, {best.n_components} components")
print(f"accuracy on the test rows {search.score(X_test, y_test):.3f}")

# %%
ax = table.plot(
    style=["o-", "s--"],
    xlabel="number of components",
    ylabel="cross-validated accuracy",
    xticks=table.index,
)
ax.legend(frameon=False)
plt.show()

# %%
# How much of an image is in eight numbers? ``inverse_transform`` of the codes gives the images back.
denoiser = DenoisingAutoEncoder(8, random_state=0).fit(X_train)
pca = PCA(8, random_state=0).fit(X_train)
for name, model in {"PCA": pca, "autoencoder": denoiser}.items():
    error = ((model.inverse_transform(model.transform(X_test)) - X_test) ** 2).mean()
    print(f"{name:12s} squared error {error:.4f}")
ReconstructionDisplay.from_estimator(denoiser, X_test, image_shape=image_shape)
plt.show()

# %%
# Its own settings need no labels: ``score`` is minus the error of the reconstruction, so a search needs no scorer.
# :class:`~skae.model_selection.BatchedGridSearchCV` trains all learning rates and folds at once, as a batch of
# networks.
search = BatchedGridSearchCV(
    DenoisingAutoEncoder(8, max_iter=50, random_state=0),
    {"learning_rate_init": [1e-3, 2e-3, 4e-3, 8e-3]},
    cv=3,
).fit(X_train)
print(
    pd.DataFrame(search.cv_results_)[
        ["param_learning_rate_init", "mean_test_score"]
    ].to_string(index=False)
)

# %%
# Does the network learn rows by heart? With ``early_stopping`` a tenth of the rows is held out. The second curve is
# their error, and the weights of its best epoch are kept.
denoiser = search.best_estimator_.set_params(early_stopping=True, max_iter=100).fit(
    X_train
)
LossCurveDisplay.from_estimator(denoiser)
plt.show()

# %%
# The more components, the closer PCA comes, and PCA is done at once.
#
# **Try next**: ``--data mnist`` or ``--data fashion-mnist``; :class:`~skae.ContractiveAutoEncoder` in the place of the
# denoising one.
