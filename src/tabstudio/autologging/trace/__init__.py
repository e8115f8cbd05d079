"""What the code around a call says: its loops, arguments, variables, and the graph of a loss."""
