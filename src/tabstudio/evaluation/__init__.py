"""How good a model is: measured once on held-out rows, with intervals, beside simple references."""

from tabstudio.evaluation.evaluate import decide, evaluate
from tabstudio.evaluation.result import Evaluation, Measure

__all__ = ["Evaluation", "Measure", "decide", "evaluate"]
