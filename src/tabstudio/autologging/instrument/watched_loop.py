"""The state of the loop that is watched, from one hook to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabstudio.autologging.instrument.loss_reads import ReadSite


@dataclass(slots=True)
class WatchedLoop:
    """What the hooks have to know of each other.

    thread
        The thread that trains: the first one that was seen, 0 before.
    trains
        A backward pass was made.
    in_backward
        How many calls of `backward` go on, one inside the other.
    in_step, went_back_in_step
        An optimizer steps; its closure has called `backward`.
    evaluating
        The last forward pass was one of evaluation; None where that is not known, as in a compiled network.
    evaluated_models
        Identities of the models that were evaluated since they were trained.
    evaluated_training
        The training in which a loss was evaluated last.
    read_sites
        Where the user reads a validation loss, by the identity of the training.
    rows, forward_rows
        Rows of the batch that is trained on: of the step, NaN where several differ; of its last forward pass,
        0 before the first.
    evaluated_rows
        Rows of the batch that is evaluated.
    """

    thread: int = 0
    trains: bool = False
    in_backward: int = 0
    in_step: bool = False
    went_back_in_step: bool = False
    evaluating: bool | None = None
    evaluated_models: set[int] = field(default_factory=set)
    evaluated_training: object = None
    read_sites: dict[int, ReadSite] = field(default_factory=dict)
    rows: float = math.nan
    forward_rows: float = 0.0
    evaluated_rows: float = math.nan
