"""How good are predictions on real tables? Many systems side by side, on the same honest splits."""
