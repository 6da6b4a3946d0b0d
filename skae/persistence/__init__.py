"""Files: saved estimators, ONNX."""

from skae.persistence.artifact import load, read_artifact, save, write_artifact
from skae.persistence.container import ArtifactError
from skae.persistence.pipelines import register_with_skops

__all__ = ["ArtifactError", "load", "read_artifact", "register_with_skops", "save", "write_artifact"]
