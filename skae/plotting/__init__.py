"""Displays of autoencoders, in the style of scikit-learn. They need matplotlib; importing this module does not."""

from skae.plotting.codes import CodeDisplay
from skae.plotting.errors import ErrorHistogramDisplay
from skae.plotting.explanation import ExplanationDisplay
from skae.plotting.loss_curve import LossCurveDisplay
from skae.plotting.manifold import ManifoldDisplay
from skae.plotting.reconstruction import ReconstructionDisplay
from skae.plotting.samples import SampleDisplay
from skae.plotting.signals import SignalDisplay
from skae.plotting.threshold import ThresholdDisplay

__all__ = [
    "CodeDisplay",
    "ErrorHistogramDisplay",
    "ExplanationDisplay",
    "LossCurveDisplay",
    "ManifoldDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "SignalDisplay",
    "ThresholdDisplay",
]
