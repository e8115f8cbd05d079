"""Greedy ensemble selection.

Source: Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models" (ICML 2004).
"""

from __future__ import annotations

import numpy as np

from tabstudio.evaluation.metrics import Floats
from tabstudio.table.schema import Target

PICKS = 50
"""Candidates are picked so often, with repetition; the best bag on the way is taken."""
LEAST_PROBABILITY = 1e-15


def ensemble_weights(predictions: np.ndarray, labels: np.ndarray, target: Target) -> Floats:
    """Weights (c,), sums to 1, of the candidates' mean with the least loss on rows they have not seen.

    `predictions` are probabilities (c, n, classes) or values (c, n), `labels` (n,) class numbers or values.
    The loss is the log loss, of a regression the squared error. Each pick adds the candidate that helps the
    bag most; the same one may be picked again, which is what makes weights of counts.

    >>> right, wrong = [[0.1, 0.9], [0.8, 0.2]], [[0.6, 0.4], [0.4, 0.6]]
    >>> target = Target("y", "binary", ("a", "b"), "b")
    >>> ensemble_weights(np.array([right, wrong]), np.array([1, 0]), target).tolist()
    [1.0, 0.0]
    """
    if target.task == "regression":
        scores = predictions - labels
    else:
        # the log loss of a mean of probabilities needs the right class's alone
        scores = np.take_along_axis(predictions, labels.astype(np.int64)[None, :, None], axis=2)[:, :, 0]
    picked = np.zeros(len(scores))
    best, chosen, total = np.inf, picked, np.zeros(scores.shape[1])
    for count in range(1, PICKS + 1):
        means = (total + scores) / count
        losses = (
            np.square(means).mean(axis=1)
            if target.task == "regression"
            else -np.log(np.maximum(means, LEAST_PROBABILITY)).mean(axis=1)
        )
        pick = int(losses.argmin())
        picked = picked + (np.arange(len(scores)) == pick)
        total = total + scores[pick]
        if losses[pick] < best:
            best, chosen = float(losses[pick]), picked
    return np.asarray(chosen / chosen.sum())
