"""
Abnormal heartbeats
===================

A recurrent autoencoder learns what normal heartbeats look like. A beat that it cannot reproduce is abnormal. Detect
outliers in this way where normal sequences are many, and abnormal ones are few or differ from each other, so that no
classifier can be trained on them.
"""

# %%
# A row is a heartbeat of 140 steps. By default the beats are simulated; ``--data ecg5000`` takes real ones.
import matplotlib.pyplot as plt
from example_data import load_sequences
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer
from skae.networks import LSTMNetwork
from skae.plotting import ErrorHistogramDisplay, SignalDisplay

X, y = load_sequences()
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.2, stratify=y, random_state=0
)
print(f"{len(X)} beats, {(y == -1).mean():.0%} of them abnormal")

# %%
# An LSTM reads the beat into a code of 16 numbers, and a second one writes it down again. ``novelty=True`` leaves the
# rows labelled -1 out of training. A beat is called abnormal if its error is above the mean training error by more than
# one standard deviation, the rule of the classic tutorials.
autoencoder = AutoEncoderTransformer(
    16, network=LSTMNetwork(sequence_shape=(140, 1)), max_iter=10, random_state=0
)
detector = AutoEncoderOutlierDetector(
    autoencoder, novelty=True, threshold="mean+1*std"
).fit(X_train, y_train)


def report(name, detector):
    labels = detector.predict(X_test)
    print(
        f"{name:14s} accuracy {accuracy_score(y_test, labels):.3f}   "
        f"precision {precision_score(y_test, labels, pos_label=-1):.3f}   "
        f"recall {recall_score(y_test, labels, pos_label=-1):.3f}"
    )


area = roc_auc_score(y_test, detector.score_samples(X_test))
print(f"area under the ROC curve, whatever the threshold: {area:.3f}")
report("mean+1*std", detector)
report("skae's default", detector.set_threshold("auto"))

# %%
# Precision is the share of the alarms that are right, recall the share of the abnormal beats that are found. skae's
# default is the higher threshold: fewer false alarms, more abnormal beats missed. The picture has the default.
ErrorHistogramDisplay.from_estimator(detector, X_test, y_test, log=True)
plt.show()

# %%
# The normal and the abnormal beat with the middle error of their kind. The network draws what a normal beat would look
# like, and the gap is the error.
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5), sharey=True, layout="constrained")
for ax, label, kind in zip(axes, [1, -1], ["normal", "abnormal"], strict=True):
    beats = X_test[y_test == label]
    errors = -detector.score_samples(beats)
    SignalDisplay.from_estimator(
        detector, beats[errors.argsort()[len(beats) // 2]], ax=ax
    )
    ax.set(title=f"{kind} beat\n{ax.get_title()}", xlabel="step")
    ax.label_outer()
plt.show()

# %%
# **Try next**: ``network=None``, a dense network, which is faster and often as good for short sequences that begin at
# the same place; :class:`~skae.DenoisingAutoEncoder` with ``noise_level=0.1``; a threshold from labels, as in
# :ref:`sphx_glr_auto_examples_plot_threshold.py`; ``--data ecg5000``.
