"""Private names of torchmetrics. Importing this does not import torchmetrics."""

WRAP_COMPUTE = "_wrap_compute"
"""The method of a `Metric` that wraps its `compute` once, when the metric is made."""
