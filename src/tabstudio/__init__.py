"""From a table to a registered, honestly evaluated PyTorch model."""
