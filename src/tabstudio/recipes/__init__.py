"""The main job, step by step, and what every front of it shares."""

from tabstudio.recipes.job import train
from tabstudio.recipes.reporter import Reporter
from tabstudio.recipes.result import Assessment, TrainResult

__all__ = ["Assessment", "Reporter", "TrainResult", "train"]
