"""Every public estimator, in the settings that all contract tests run over. Small networks, for speed."""

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder
from skae.networks import DenseNetwork

AUTOENCODERS = [
    AutoEncoderTransformer(),
    AutoEncoderTransformer(
        2, network=DenseNetwork((16,), "tanh", dropout=0.1, normalization="batch", tied_weights=True), max_iter=30
    ),
    DenoisingAutoEncoder(),
    DenoisingAutoEncoder(4, hidden_layer_sizes=(16,), corruption="swap", max_iter=30),
]

DETECTORS = [
    AutoEncoderOutlierDetector(),
    AutoEncoderOutlierDetector(novelty=True),
    AutoEncoderOutlierDetector(AutoEncoderTransformer(1, hidden_layer_sizes=(8,), max_iter=30)),
    AutoEncoderOutlierDetector(DenoisingAutoEncoder(1, hidden_layer_sizes=(8,), max_iter=30)),
]

ESTIMATORS = AUTOENCODERS + DETECTORS
