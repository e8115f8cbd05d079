"""Records what `sklearn.metrics` and `torchmetrics` return to the user's code, under its own name."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from tabstudio._compat.torchmetrics import WRAP_COMPUTE
from tabstudio.autologging.events import Observer, WatchedEpoch, WatchedTraining
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.trace import call_arguments

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from tabstudio.autologging.launch.session import AutologSession
    from tabstudio.tracking.run import Status

MOST_VALUES = 20
"""Number of values up to which an array is recorded as scores."""
MOST_CELLS = 10
"""Number of classes up to which each cell of a confusion matrix is a metric."""
_NO_SCORES = ("check_", "get_", "make_", "pairwise")
_NO_SCORES_AT_END = ("_curve", "_distances", "_samples", "_support", "_kernels", "_matrix")


@dataclass(slots=True)
class ScoreSite:
    """A call site that computes a score: its name in MLflow, and the step last recorded."""

    name: str
    step: int = -1
    run: str = ""

    def next_step(self, epoch: int, run: str) -> int:
        """Return the epoch as the step; a further call in the same epoch counts on."""
        self.step = max(epoch, self.step + 1 if run == self.run else 0)
        self.run = run
        return self.step


class ScoreObserver(Observer):
    """Listens where a score is returned to the user's code; what libraries compute inside is not ours.

    The first place that asks for a score gives it its name; another place adds what it is computed from:
    `accuracy_score` and `accuracy_score_y_test`.
    """

    name = "scores"

    def install(self, session: AutologSession) -> None:
        """Wrap the functions when they are imported. There are no hooks for it."""
        self._session = session
        self._patches = Patches()
        self._sites: dict[tuple[CodeType, int, str], ScoreSite] = {}
        self._names: set[str] = set()
        self._waiting: list[tuple[str, torch.Tensor, int]] = []
        self._on_score = session.guarded(self, self._returned)
        session.imports.when("sklearn.metrics", self._watch_sklearn)
        session.imports.when("torchmetrics", self._watch_torchmetrics)
        session.imports.when("torchmetrics.functional", self._watch_functional)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def epoch_ended(self, training: WatchedTraining, epoch: WatchedEpoch) -> None:
        """Record the scores that are still on a device, which has just been waited for."""
        self._read()

    def process_ends(self, status: Status) -> None:
        """Record the scores that are left."""
        self._read()

    def _watch_sklearn(self, module: ModuleType) -> None:
        for name in module.__all__:
            function = getattr(module, name)
            if name in _SPECIAL or (
                callable(function) and not isinstance(function, type) and _is_score(name)
            ):
                self._watch(module, name, _SPECIAL.get(name))

    def _watch_functional(self, module: ModuleType) -> None:
        for name in module.__all__:
            if callable(getattr(module, name)):
                self._watch(module, name, None)

    def _watch(self, module: ModuleType, name: str, special: Special | None) -> None:
        function, on_score = getattr(module, name), self._on_score

        def watched(*args: object, **kwargs: object) -> object:
            value = function(*args, **kwargs)
            on_score(
                name,
                value,
                None if special is None else functools.partial(special, self, function, args, kwargs),
            )
            return value

        self._patches.set_function(module, name, function, watched)

    def _watch_torchmetrics(self, module: ModuleType) -> None:
        metric, collection, on_score = module.Metric, module.MetricCollection, self._on_score
        wrap, compute = getattr(metric, WRAP_COMPUTE), collection.compute

        def watched_wrap(self: object, compute: Callable[..., object]) -> Callable[..., object]:
            inner = wrap(self, compute)

            @functools.wraps(inner)
            def watched(*args: object, **kwargs: object) -> object:
                value = inner(*args, **kwargs)
                on_score(type(self).__name__, value, None)
                return value

            return watched

        @functools.wraps(compute)
        def watched_collection(self: object) -> object:
            value = compute(self)
            for name, part in value.items():
                on_score(name, part, None)
            return value

        self._patches.set(metric, WRAP_COMPUTE, watched_wrap)
        self._patches.set(collection, "compute", watched_collection)

    def _returned(self, name: str, value: object, special: Special | None) -> None:
        frame = call_arguments.calling_frame()
        if frame is None:
            return
        site = self._site(name, frame)
        trainings = self._session.trainings[-1:]
        epoch, run = (trainings[0].now(), trainings[0].run.id) if trainings else (0, "")
        step = site.next_step(epoch, run)
        if special is not None:
            special(site.name, value, step)
            return
        for key, number in _numbers(site.name, value):
            if getattr(getattr(number, "device", None), "type", "cpu") != "cpu":
                self._waiting.append((key, number.detach().clone(), step))
            else:
                self._session.metrics({key: float(number)}, step=step)

    def _read(self) -> None:
        waiting, self._waiting = self._waiting, []
        for key, number, step in waiting:
            self._session.metrics({key: float(number)}, step=step)

    def _site(self, name: str, frame: FrameType) -> ScoreSite:
        key = (frame.f_code, frame.f_lasti, name)
        if key not in self._sites:
            self._sites[key] = ScoreSite(self._free(name, frame))
        return self._sites[key]

    def _free(self, name: str, frame: FrameType) -> str:
        candidate, number = name, 1
        if candidate in self._names:
            candidate = f"{name}_{next(iter(call_arguments.argument_names(frame)), '') or 2}"
        base = candidate
        while candidate in self._names:
            number += 1
            candidate = f"{base}_{number}"
        self._names.add(candidate)
        return candidate

    # Reports and matrices

    def _report(
        self,
        function: Callable[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        name: str,
        value: object,
        step: int,
    ) -> None:
        options = {key: option for key, option in kwargs.items() if key != "output_dict"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user has been told already
            table = value if isinstance(value, dict) else function(*args, **options, output_dict=True)
            text = value if isinstance(value, str) else function(*args, **options)
        self._keep(f"{name}.txt", text.encode())
        for label, scores in table.items():
            named = scores if isinstance(scores, Mapping) else {"": scores}
            figures = {f"{name}/{label}/{key}".rstrip("/"): float(score) for key, score in named.items()}
            self._session.metrics(figures, step=step)
        rows = {str(label): scores for label, scores in table.items() if isinstance(scores, Mapping)}
        self._keep(f"{name}.png", _report_picture(rows))

    def _matrix(
        self,
        function: object,
        args: tuple[object, ...],
        kwargs: dict[str, Any],
        name: str,
        value: npt.NDArray[np.float64],
        step: int,
    ) -> None:
        from sklearn.utils.multiclass import unique_labels

        labels = kwargs.get("labels")
        pair = [*args, *(kwargs[key] for key in ("y_true", "y_pred") if key in kwargs)][:2]
        classes = [str(label) for label in (unique_labels(*pair) if labels is None else labels)]
        self._keep(f"{name}.txt", _matrix_text(classes, value).encode())
        self._keep(f"{name}.png", _matrix_picture(classes, value))
        if len(classes) <= MOST_CELLS:
            cells = {
                f"{name}/actual {actual} predicted {predicted}": float(value[i, j])
                for i, actual in enumerate(classes)
                for j, predicted in enumerate(classes)
            }
            self._session.metrics(cells, step=step)

    def _keep(self, name: str, content: bytes) -> None:
        self._session.run.artifact(content, f"scores/{name}")


Special = Callable[..., None]
_SPECIAL: Mapping[str, Special] = {
    "classification_report": ScoreObserver._report,
    "confusion_matrix": ScoreObserver._matrix,
}


def _is_score(name: str) -> bool:
    return not name.startswith(_NO_SCORES) and not name.endswith(_NO_SCORES_AT_END)


def _numbers(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the single numbers of a score with their names; nothing for what is no score."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(f"{name}/{key}", inner)
    elif isinstance(value, tuple | list):
        if len(value) <= MOST_VALUES:
            for index, inner in enumerate(value):
                yield from _numbers(f"{name}/{index}", inner)
    elif getattr(value, "ndim", 0) == 1 and len(value) <= MOST_VALUES:
        for index in range(len(value)):
            yield f"{name}/{index}", value[index]
    elif getattr(value, "ndim", 0) == 0 and (isinstance(value, int | float) or hasattr(value, "item")):
        yield name, value


def _matrix_text(classes: list[str], matrix: npt.NDArray[np.float64]) -> str:
    width = max(len(cell) for cell in (*classes, *(f"{value:g}" for value in matrix.ravel())))
    lines = [
        "rows actual, columns predicted",
        " ".join(["".rjust(width), *(c.rjust(width) for c in classes)]),
    ]
    for label, row in zip(classes, matrix, strict=True):
        lines.append(" ".join([label.rjust(width), *(f"{value:g}".rjust(width) for value in row)]))
    return "\n".join(lines) + "\n"


def _matrix_picture(classes: list[str], matrix: npt.NDArray[np.float64]) -> bytes:
    from tabstudio.evaluation.plots import matrix_picture
    from tabstudio.report.figure import png

    return png(matrix_picture(classes, matrix))


def _report_picture(rows: Mapping[str, Mapping[str, float]]) -> bytes:
    import numpy as np

    from tabstudio.report.colors import SEQUENTIAL
    from tabstudio.report.figure import heatmap, png

    columns = [key for key in next(iter(rows.values())) if key != "support"]
    values = np.array([[scores[key] for key in columns] for scores in rows.values()])
    title = "Classification report"
    return png(heatmap(list(rows), values, columns=columns, title=title, low=0.0, colours=SEQUENTIAL))
