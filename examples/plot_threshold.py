"""
Choosing the threshold of a detector
====================================

A detector ranks rows by their error. The threshold says above which error a row is called an outlier. By default it
comes from the errors of the training rows, without any label. A lower threshold finds more outliers and raises more
false alarms, and only you know which of the two costs more. If you have labels, let them choose.
"""

# %%
# Malignant tumours are the outliers, labelled -1. A third of the rows trains the detector, a third chooses the
# threshold, and a third tests it.
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import fbeta_score, precision_recall_fscore_support
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from skae import AutoEncoderOutlierDetector
from skae.plotting import ThresholdDisplay

X, target = load_breast_cancer(return_X_y=True, as_frame=True)
y = np.where(target == 1, 1, -1)
X_train, X_rest, y_train, y_rest = train_test_split(
    X, y, test_size=2 / 3, stratify=y, random_state=0
)
X_valid, X_test, y_valid, y_test = train_test_split(
    X_rest, y_rest, test_size=1 / 2, stratify=y_rest, random_state=0
)

detector = AutoEncoderOutlierDetector(novelty=True, random_state=0).fit(
    X_train, y_train
)


def report(name, detector):
    labels = detector.predict(X_test)
    figures = precision_recall_fscore_support(y_test, labels, labels=[-1])
    precision, recall, f1 = (figure[0] for figure in figures[:3])
    print(f"{name}: threshold {detector.threshold_:.2f}")
    print(f"    precision {precision:.2f}   recall {recall:.2f}   F1 {f1:.2f}")


report("default", detector)

# %%
# The picture shows all thresholds at once, on the rows that are to choose one.
ThresholdDisplay.from_estimator(detector, X_valid, y_valid, log=True)
plt.show()

# %%
# ``tune_threshold`` takes the best threshold for a metric. It trains nothing. The metric may be your own: here recall
# counts twice as much as precision.


def recall_first(y, labels):
    return fbeta_score(y, labels, beta=2, pos_label=-1)


report("best F1", detector.tune_threshold(X_valid, y_valid, metric="f1"))
report("best F2", detector.tune_threshold(X_valid, y_valid, metric=recall_first))

# %%
# In a grid search the threshold is a parameter like any other, and a rule carries over from fold to fold better than a
# number does. With ``memory``, each fold is trained once, however many thresholds there are. The folds must be
# stratified, because scikit-learn does not take a detector for a classifier.
search = GridSearchCV(
    AutoEncoderOutlierDetector(novelty=True, memory=mkdtemp(), random_state=0),
    {"threshold": [f"mean+{k}*std" for k in np.arange(0, 4, 0.5)]},
    scoring="balanced_accuracy",
    cv=StratifiedKFold(5),
)

search.fit(pd.concat([X_train, X_valid]), np.r_[y_train, y_valid])
report(search.best_params_["threshold"], search.best_estimator_)

# %%
# All figures are of the rows that no threshold was chosen on. Precision depends on how many outliers there are: if
# yours are rarer than these, expect more false alarms for each outlier found.
#
# **Try next**: ``"median+3*mad"`` as a rule, which a few large errors do not move; ``contamination=0.05``, which calls
# about 5 % of new normal rows outliers.
