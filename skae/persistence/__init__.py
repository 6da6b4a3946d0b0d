"""Files: saved estimators, ONNX."""
