"""Files: saved estimators, ONNX."""

from skae.persistence.artifact import load, read_artifact, save, write_artifact
from skae.persistence.container import ArtifactError

__all__ = ["ArtifactError", "load", "read_artifact", "save", "write_artifact"]
