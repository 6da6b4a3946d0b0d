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
# Only 10 training digits of each class keep their label. The others are labelled -1, unknown.
known = np.concatenate([np.flatnonzero(y_train == label)[:10] for label in range(10)])
y_few = np.full_like(y_train, -1)
y_few[known] = y_train[known]

# A ``beta`` below 1 leaves the code more freedom: it then holds more of the handwriting.
cvae = ConditionalVariationalAutoEncoder(
    8, loss="binary_cross_entropy", beta=0.5, max_iter=60, random_state=0
)
cvae.fit(X_train, y_few)

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
# Each row starts from a digit that somebody wrote, which stands on the diagonal. Its code, decoded as the nine other
# classes, gives the others.
hands = []
for label in range(10):
    written = X_test[y_test == label][:1]
    row = cvae.inverse_transform(
        np.repeat(cvae.transform(written), 10, axis=0), cvae.classes_
    )
    row[label] = written
    hands.append(row)
SampleDisplay.from_samples(
    np.vstack(hands), np.repeat(range(10), 10), image_shape=image_shape
)
plt.show()

# %%
# Which digit is it?
# ------------------
# The classifier inside was trained on the labels, and on all that it could infer from the other digits:
logistic = LogisticRegression(max_iter=1000).fit(X_train[known], y_train[known])
print(f"accuracy from {len(known)} labels of {len(y_train)}")
print(f"logistic regression, labelled rows only  {logistic.score(X_test, y_test):.3f}")
print(
    "conditional variational autoencoder      "
    f"{np.mean(cvae.predict(X_test) == y_test):.3f}"
)

# %%
# Where the classifier errs, the wrong images teach the decoder: some rows above are less clear than others. Try more
# labels, or all: ``fit(X_train, y_train)``.
