"""The ONNX form of a fitted estimator: made, held against the original, measured, and chosen or not."""
