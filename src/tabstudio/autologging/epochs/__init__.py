"""Which steps belong to which epoch of which training, and the metrics of each."""
