"""Files: saved estimators, ONNX."""

from skae.persistence.artifact import load, read_artifact, save, write_artifact
from skae.persistence.container import ArtifactError, safetensors_of_torch
from skae.persistence.estimators import code_of
from skae.persistence.onnx import export_onnx
from skae.persistence.pipelines import register_with_skops

__all__ = [
    "ArtifactError",
    "code_of",
    "export_onnx",
    "load",
    "read_artifact",
    "register_with_skops",
    "safetensors_of_torch",
    "save",
    "write_artifact",
]
