"""What a finished job hands back: the model, what was measured, and where everything stands."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabstudio.evaluation import Evaluation, Importance, References
    from tabstudio.exploration import Exploration
    from tabstudio.model.predictor import Model
    from tabstudio.recipes.fit import FittedModel
    from tabstudio.recipes.pipeline import MeasuredModel
    from tabstudio.table import Split
    from tabstudio.tracking import Delivery


@dataclass(frozen=True)
class Assessment:
    """How good a model is: what was measured of it, its references on the same rows, what it relies on."""

    measured: MeasuredModel
    references: References
    importance: Importance | None

    @property
    def test(self) -> Evaluation:
        """Measured once, on the test part."""
        return self.measured.test

    @property
    def validation(self) -> Evaluation | None:
        """Measured on held-out rows, where there are any."""
        return self.measured.validation


@dataclass(frozen=True)
class TrainResult:
    """A trained, assessed and tracked model.

    `delivery` says what MLflow has. `folder` is where the reports were asked for. `partial` is true where
    the training was interrupted: such a model is kept and tracked, but not registered. `seconds` is the time
    of the whole job.
    """

    name: str
    exploration: Exploration
    parts: Split
    fitted: FittedModel
    assessment: Assessment
    delivery: Delivery
    folder: Path | None
    partial: bool
    seconds: float

    @property
    def model(self) -> Model:
        """The model, ready to predict raw rows."""
        return self.fitted.model

    @property
    def evaluation(self) -> Evaluation:
        """What was measured on the test part."""
        return self.assessment.test

    def text(self) -> str:
        """The results and where to look, for a terminal."""
        tutorial = self.model.config["recipe"] == "tutorial"
        scored = "Test part, validated on as well" if tutorial else "Test part, scored once"
        parts = ["", f"{scored}: {self.evaluation.text().strip()}"]
        if self.assessment.references.items or self.assessment.references.notes:
            parts.append(self.assessment.references.text())
        if self.partial:
            parts.append(
                "PARTIAL: the training was interrupted; the best weights so far are kept, unregistered."
            )
        parts.append("\n".join(f"{name:10}{value}" for name, value in self._places()))
        return "\n\n".join(parts).lstrip("\n")

    def _places(self) -> list[tuple[str, str]]:
        places = []
        if self.delivery.model_uri:
            places.append(("model", self.delivery.model_uri))
        if self.folder is not None:
            places.append(("reports", str(self.folder.absolute())))
        places.append(("look", self.delivery.hint))
        if self.delivery.error:
            places.append(("WAITING", self.delivery.error))
        return [*places, ("time", f"{self.seconds:.1f} s")]

    def __repr__(self) -> str:
        version = f" version {self.delivery.version}" if self.delivery.version else ""
        return f"TrainResult({self.name}{version}: {self.evaluation!r})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in self._places())
        return f"<p><b>{escape(self.name)}</b></p>{self.evaluation._repr_html_()}<table>{rows}</table>"
