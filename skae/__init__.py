"""Autoencoders that behave like any other scikit-learn estimator."""

from skae.estimators import (
    AdversarialAutoEncoder,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.outliers import AutoEncoderOutlierDetector
from skae.persistence import export_onnx, load, save

__version__ = "0.1.0"

__all__ = [
    "AdversarialAutoEncoder",
    "AutoEncoderOutlierDetector",
    "AutoEncoderTransformer",
    "ConditionalVariationalAutoEncoder",
    "ContractiveAutoEncoder",
    "DenoisingAutoEncoder",
    "SparseAutoEncoder",
    "StackedAutoEncoder",
    "StackedAutoEncoderClassifier",
    "VariationalAutoEncoder",
    "export_onnx",
    "load",
    "save",
]
