"""
===================================
Conditional variational autoencoder
===================================

A conditional variational autoencoder is told the class of a row. The code then needs to hold only what the class does
not say: of a digit, the handwriting. Class and handwriting can be put together anew, so that one can ask for a seven.

Choose it to draw rows of a class, or to separate what the class says from the rest. It needs few labels: the classes of
the other rows are inferred.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from example_data import load_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skae import ConditionalVariationalAutoEncoder
from skae.plotting import SampleDisplay

X, y, image_shape = load_images()
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# Only 20 training digits of each class keep their label. The others are labelled -1, unknown.
known = np.concatenate([np.flatnonzero(y_train == label)[:20] for label in range(10)])
y_few = np.full_like(y_train, -1)
y_few[known] = y_train[known]

cvae = ConditionalVariationalAutoEncoder(8, loss="binary_cross_entropy", random_state=0).fit(X_train, y_few)

# %%
# One row a digit
# ---------------
# Each row is a class, each column a code drawn from the normal distribution. Down a column the handwriting stays the
# same: its slant, its width, the weight of its lines.
SampleDisplay.from_estimator(cvae, image_shape=image_shape)
plt.show()

# %%
# In the same hand
# ----------------
# The code of a digit that somebody wrote, decoded as each of the ten classes. The first column is what was written.
hands = []
for x in X_test[:6]:
    codes = np.repeat(cvae.transform([x]), 10, axis=0)
    hands += [x, *cvae.inverse_transform(codes, cvae.classes_)]
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.imshow(np.reshape(hands, (6, 11, *image_shape)).swapaxes(1, 2).reshape(6 * image_shape[0], -1), cmap="gray")
ax.axvline(image_shape[1] - 0.5, color="white")
ax.set_axis_off()
plt.show()

# %%
# Which digit is it?
# ------------------
# The classifier inside was trained on the labels, and on all that it could infer from the other digits:
logistic = LogisticRegression(max_iter=1000).fit(X_train[known], y_train[known])
print(f"accuracy from {len(known)} labels of {len(y_train)}")
print(f"logistic regression, labelled rows only  {logistic.score(X_test, y_test):.3f}")
print(f"conditional variational autoencoder      {np.mean(cvae.predict(X_test) == y_test):.3f}")

# %%
# Some samples are of the wrong class: where the classifier errs, the wrong images teach the decoder. Try more labels, or
# all: ``fit(X_train, y_train)``.
