"""The networks: raw outputs from encoded rows, k members at once."""
