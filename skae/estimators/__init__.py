"""The autoencoders, as scikit-learn estimators."""

from skae.estimators.adversarial import AdversarialAutoEncoder
from skae.estimators.autoencoder import AutoEncoderTransformer
from skae.estimators.conditional import ConditionalVariationalAutoEncoder
from skae.estimators.contractive import ContractiveAutoEncoder
from skae.estimators.denoising import DenoisingAutoEncoder
from skae.estimators.reconstruction import BaseAutoEncoder
from skae.estimators.sparse import SparseAutoEncoder
from skae.estimators.stacked import StackedAutoEncoder
from skae.estimators.stacked_classifier import StackedAutoEncoderClassifier
from skae.estimators.variational import VariationalAutoEncoder

__all__ = [
    "AdversarialAutoEncoder",
    "AutoEncoderTransformer",
    "BaseAutoEncoder",
    "ConditionalVariationalAutoEncoder",
    "ContractiveAutoEncoder",
    "DenoisingAutoEncoder",
    "SparseAutoEncoder",
    "StackedAutoEncoder",
    "StackedAutoEncoderClassifier",
    "VariationalAutoEncoder",
]
