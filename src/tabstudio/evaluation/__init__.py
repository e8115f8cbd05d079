"""How good a model is: measured once on held-out rows, with intervals, beside simple references."""

from tabstudio.evaluation.calibrate import fit_curve, fit_temperature
from tabstudio.evaluation.compare import Difference, compare
from tabstudio.evaluation.evaluate import decide, evaluate
from tabstudio.evaluation.importance import ColumnImportance, Importance, importance
from tabstudio.evaluation.reference_job import ReferenceJob
from tabstudio.evaluation.result import Evaluation, Measure
from tabstudio.evaluation.threshold import Threshold, choose_threshold
from tabstudio.evaluation.verdict import Reference, References, Verdict, judge

__all__ = [
    "ColumnImportance",
    "Difference",
    "Evaluation",
    "Importance",
    "Measure",
    "Reference",
    "ReferenceJob",
    "References",
    "Threshold",
    "Verdict",
    "choose_threshold",
    "compare",
    "decide",
    "evaluate",
    "fit_curve",
    "fit_temperature",
    "importance",
    "judge",
]
