"""The log of every prediction served: inputs, answers, and the true labels that came later."""
