"""The main job, step by step, and what every front of it shares."""

from tabstudio.recipes.reporter import Reporter
from tabstudio.recipes.sweep_job import SweepResult, sweep
from tabstudio.recipes.train_result import Assessment, TrainResult
from tabstudio.recipes.training_job import train

__all__ = ["Assessment", "Reporter", "SweepResult", "TrainResult", "sweep", "train"]
