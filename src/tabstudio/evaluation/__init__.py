"""How good a model is: measured once on held-out rows, with intervals, beside simple references."""

from tabstudio.evaluation.calibration import fit_curve, fit_temperature
from tabstudio.evaluation.decision_threshold import Threshold, choose_threshold
from tabstudio.evaluation.evaluate import decide, evaluate
from tabstudio.evaluation.evaluation_result import Evaluation, Measure
from tabstudio.evaluation.paired_bootstrap import Difference, compare
from tabstudio.evaluation.permutation_importance import ColumnImportance, Importance, importance
from tabstudio.evaluation.reference_comparison import Reference, References, Verdict, judge
from tabstudio.evaluation.reference_process import ReferenceJob

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
