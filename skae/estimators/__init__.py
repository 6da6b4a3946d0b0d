"""The autoencoders, as scikit-learn estimators."""

from skae.estimators.autoencoder import AutoEncoderTransformer
from skae.estimators.base import BaseAutoEncoder
from skae.estimators.denoising import DenoisingAutoEncoder

__all__ = ["AutoEncoderTransformer", "BaseAutoEncoder", "DenoisingAutoEncoder"]
