"""The main job, step by step, and what every front of it shares."""

from tabstudio.recipes.job import train
from tabstudio.recipes.reporter import Reporter
from tabstudio.recipes.result import Assessment, TrainResult
from tabstudio.recipes.sweeping import SweepResult, sweep

__all__ = ["Assessment", "Reporter", "SweepResult", "TrainResult", "sweep", "train"]
