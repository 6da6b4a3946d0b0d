"""Every public estimator, in the settings that all contract tests run over. Small networks, for speed."""

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.model_selection import BatchedGridSearchCV
from skae.networks import DenseNetwork

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 20}

AUTOENCODERS = [
    AutoEncoderTransformer(),
    AutoEncoderTransformer(
        2, network=DenseNetwork((16,), "tanh", dropout=0.1, normalization="batch", tied_weights=True), max_iter=30
    ),
    DenoisingAutoEncoder(),
    DenoisingAutoEncoder(4, corruption="swap", **SMALL),
    SparseAutoEncoder(4, **SMALL),
    SparseAutoEncoder(4, sparsity="kl", **SMALL),
    ContractiveAutoEncoder(4, **SMALL),
    ContractiveAutoEncoder(4, method="stochastic", **SMALL),
    StackedAutoEncoder(4, pretrain_max_iter=3, **SMALL),
    VariationalAutoEncoder(2, **SMALL),
    ConditionalVariationalAutoEncoder(2, **SMALL),
    AdversarialAutoEncoder(2, **SMALL),
]

CLASSIFIERS = [StackedAutoEncoderClassifier(16, hidden_layer_sizes=(32,), pretrain_max_iter=3)]

DETECTORS = [
    AutoEncoderOutlierDetector(),
    AutoEncoderOutlierDetector(novelty=True),
    *[AutoEncoderOutlierDetector(type(a)(1, **SMALL)) for a in AUTOENCODERS[::2]],
]

SEARCHES = [BatchedGridSearchCV(AutoEncoderTransformer(2, random_state=0, **SMALL), {"alpha": [0.0, 0.1]}, cv=2)]

ESTIMATORS = AUTOENCODERS + CLASSIFIERS + DETECTORS + SEARCHES
