"""Show what skae does, on data sets of scikit-learn. This takes about a minute on the CPU of a laptop.

Run: python examples/quickstart.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skae import (
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    DenoisingAutoEncoder,
)
from skae.plotting import (
    CodeDisplay,
    ErrorHistogramDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
)

PICTURES = Path(__file__).parent / "output"


def save(figure, name):
    figure.savefig(PICTURES / name, dpi=120, bbox_inches="tight")
    plt.close(figure)


def compare_codes_with_pca():
    """(a) Use the codes of an autoencoder as features, and compare them with as many components of PCA."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test = train_test_split(X / 16, stratify=y, random_state=0)
    print("(a) Handwritten digits: 64 pixels reduced to 8 components")
    print(f"{'':24s}{'accuracy':>10s}{'squared error':>16s}")
    for name, reducer in (
        ("PCA(8)", PCA(8)),
        ("AutoEncoderTransformer(8)", AutoEncoderTransformer(8, random_state=0)),
    ):
        pipeline = make_pipeline(
            MinMaxScaler(), reducer, StandardScaler(), LogisticRegression(max_iter=1000)
        )
        accuracy = cross_val_score(pipeline, X, y, cv=3).mean()
        reducer.fit(X_train)
        error = np.mean(
            (reducer.inverse_transform(reducer.transform(X_test)) - X_test) ** 2
        )
        print(f"{name:26s}{accuracy:8.3f}{error:16.4f}")
    save(
        ReconstructionDisplay.from_estimator(
            reducer, X_test, image_shape=(8, 8)
        ).figure_,
        "reconstructions.png",
    )
    save(LossCurveDisplay.from_estimator(reducer).figure_, "loss_curve.png")


def tsne_on_codes():
    """(b) Apply t-SNE to the codes."""
    X, y = load_digits(return_X_y=True)
    denoiser = DenoisingAutoEncoder(
        32, hidden_layer_sizes=(256,), noise_level=4.0, random_state=0
    )
    points = make_pipeline(denoiser, TSNE(random_state=0)).fit_transform(X)
    neighbours = cross_val_score(KNeighborsClassifier(1), points, y).mean()
    print(
        f"\n(b) t-SNE on 32 denoising codes: 1-nearest-neighbour accuracy on the map {neighbours:.3f}"
    )
    save(CodeDisplay.from_codes(points, y).figure_, "tsne.png")


def tune_a_detector():
    """(c) Detect malignant tumours as outliers, with a threshold tuned by grid search."""
    data = load_breast_cancer()
    y = np.where(data.target == 1, 1, -1)  # benign rows are the inliers
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, y, stratify=y, random_state=0
    )
    autoencoder = DenoisingAutoEncoder(noise_level=1.0, random_state=0)
    # With memory, the autoencoder is trained once per fold and not once per threshold.
    detector = AutoEncoderOutlierDetector(
        autoencoder, novelty=True, memory=str(PICTURES / "cache")
    )
    pipeline = make_pipeline(StandardScaler(), detector)
    grid = {
        "autoencoderoutlierdetector__threshold": [
            f"median+{2**k}*mad" for k in range(10)
        ]
    }
    search = GridSearchCV(
        pipeline, grid, scoring="balanced_accuracy", cv=StratifiedKFold(5)
    ).fit(X_train, y_train)
    detector = search.best_estimator_
    print(
        "\n(c) Breast cancer: malignant tumours as outliers, after training on benign ones"
    )
    print(
        f"threshold {search.best_params_['autoencoderoutlierdetector__threshold']}, chosen by balanced accuracy;"
    )
    print(
        f"on held-out rows: accuracy {accuracy_score(y_test, detector.predict(X_test)):.3f}, "
        f"area under the ROC curve {roc_auc_score(y_test, detector.score_samples(X_test)):.3f}"
    )
    scaled = detector[0].transform(X_test)
    save(
        ErrorHistogramDisplay.from_estimator(
            detector[-1], scaled, y_test, log=True
        ).figure_,
        "error_histogram.png",
    )


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    compare_codes_with_pca()
    tsne_on_codes()
    tune_a_detector()
    print(
        f"\nPictures: {', '.join(sorted(p.name for p in PICTURES.glob('*.png')))} in {PICTURES}"
    )
