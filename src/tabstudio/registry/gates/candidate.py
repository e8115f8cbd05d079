"""A version before the gates of a stage, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tabstudio.errors import DataError, ForeignModelError, ModelError
from tabstudio.evaluation.evaluation_result import Measure, from_plain
from tabstudio.evaluation.slices import Slice, evaluate_slices
from tabstudio.registry.compared_model import ComparedModel
from tabstudio.registry.records import ModelVersion

if TYPE_CHECKING:
    from tabstudio.registry.reader import RegistryReader


@dataclass(frozen=True)
class GateCandidate:
    """`version` is to enter a stage that holds `current` now; `data` is a file to judge by, or None.

    A model of another library has no `candidate`: of it nothing is known but the figures of its run.
    """

    registry: RegistryReader
    version: ModelVersion
    current: ModelVersion | None
    data: str | None = None

    @cached_property
    def foreign(self) -> bool:
        """Whether the model is of another library."""
        try:
            self.registry.bundle(self.version)
        except ForeignModelError:
            return True
        return False

    @cached_property
    def candidate(self) -> ComparedModel:
        """The version that is judged. Raises `ModelError` where its files are not there or not ours."""
        return ComparedModel(self.version.address, self.registry.bundle(self.version))

    @cached_property
    def served(self) -> ComparedModel | None:
        """The version that is in the stage now, None where there is none or it is the one that is judged."""
        if self.current is None or self.current.address == self.version.address:
            return None
        return ComparedModel(self.current.address, self.registry.bundle(self.current))

    @cached_property
    def metrics(self) -> Mapping[str, Measure]:
        """What was measured on the test part, by the bundle, or by the run where the bundle has nothing.

        Raises `ModelError` where the figures are not honest.
        """
        if self.foreign or not self.candidate.record.report.get("test"):
            return {
                name.removeprefix("test_"): Measure(
                    **from_plain({"value": m.value, "low": m.low, "high": m.high})
                )
                for name, m in self.version.metrics.items()
                if name.startswith("test_")
            }
        self._check_honest()
        measured = self.candidate.record.report["test"]["metrics"]
        return {name: Measure(**from_plain(values)) for name, values in measured.items()}

    def slices(self, column: str) -> tuple[Slice, ...]:
        """Return the levels of a column as the training measured them, else measured now on the test rows.

        Where a file was named they are measured on those of its rows that the model was not trained on.

        Raises `DataError` where the rows are not there, `ConfigError` where they lack the column.
        """
        model = self.candidate
        if self.data is not None:
            from tabstudio.registry.unseen_rows import unseen_rows

            rows = unseen_rows(self.data, (model,))
            frame = rows.columns((column,), model.record.schema)
            labels, predictions = rows.labels, model.model.answers(rows.frame)
        else:
            self._check_honest()
            measured = [Slice.from_json(part) for part in model.record.report.get("slices", ())]
            if levels := tuple(part for part in measured if part.column == column):
                return levels
            frame = model.test_rows((column,))
            labels, predictions = model.evidence.labels, model.evidence.predictions
        return evaluate_slices((column,), frame, model.target, labels, predictions, threshold=model.threshold)

    def _check_honest(self) -> None:
        if self.candidate.data.get("validated_on_test"):
            raise DataError(
                "its figures were measured on rows that its training was validated on: they prove nothing; "
                "train it without --recipe tutorial"
            )

    def notes(self) -> list[dict[str, Any]]:
        """Return what the history has noted of the version, newest first."""
        return [dict(note.evidence.facts) for note in self.registry.notes(self.version)]


def require_measure(metrics: Mapping[str, Measure], name: str) -> Measure:
    """Return a measure with its interval. Raises `ModelError` where the one or the other was not recorded."""
    if name not in metrics:
        raise ModelError(f"{name} was not measured; there is {', '.join(sorted(metrics)) or 'nothing'}")
    measure = metrics[name]
    if measure.low != measure.low:
        raise ModelError(
            f"{name} has no interval, so nobody knows how sure its value of {measure} is; "
            "train with --resamples 1000"
        )
    return measure
