"""The observers of one session: training loop, models, data, figures, scores, output."""
