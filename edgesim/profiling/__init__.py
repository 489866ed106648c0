"""Sub-models as ONNX, timed on the device in question, and device profiles made of those seconds."""
