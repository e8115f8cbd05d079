"""Raw rows to predictions: encoder, networks and the bundle that holds them.

Modules are imported where they are used; importing this package loads neither torch nor polars.
"""
