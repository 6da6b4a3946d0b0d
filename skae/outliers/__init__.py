"""Outlier detection by reconstruction error."""

from skae.outliers.detector import AutoEncoderOutlierDetector

__all__ = ["AutoEncoderOutlierDetector"]
