"""Autoencoders that behave like any other scikit-learn estimator."""

from skae.estimators import AutoEncoderTransformer, DenoisingAutoEncoder
from skae.outliers import AutoEncoderOutlierDetector

__version__ = "0.1.0"

__all__ = ["AutoEncoderOutlierDetector", "AutoEncoderTransformer", "DenoisingAutoEncoder"]
