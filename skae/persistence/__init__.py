"""Files: saved estimators, ONNX."""

from skae.persistence.onnx import export_onnx

__all__ = ["export_onnx"]
