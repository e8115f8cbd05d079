"""Three versions of one model in a registry of their own: two of the same split, one of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tabstudio.recipes import train
from tabstudio.registry.registry import Registry
from tabstudio.registry.stage_rules import Stage, StageRules
from tabstudio.tracking import deliver

QUICK = {
    "network": "mlp",
    "hidden": (8,),
    "folds": 2,
    "references": False,
    "resamples": 200,
    "learning_rate": 0.02,
}


@dataclass(frozen=True)
class Shelf:
    """`cancer` 1 is good, 2 is of the same rows but hardly trained, 3 is of another split."""

    folder: Path
    uri: str
    csv: Path

    def registry(self) -> Registry:
        return Registry(
            tracking_uri=self.uri, rules=StageRules((Stage("production"), Stage("archived", False)))
        )

    def model(self, number: int) -> Path:
        return self.folder / str(number) / "model"


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory, cancer_csv: Path) -> Shelf:
    folder = tmp_path_factory.mktemp("shelf")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    csv = folder / "cancer.csv"
    csv.write_bytes(cancer_csv.read_bytes())
    made = ({"epochs": 25, "slice": ["worst area"]}, {"epochs": 2}, {"epochs": 25, "seed": 7})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TABSTUDIO_DELIVERY", "later")
        for number, options in enumerate(made, 1):
            output = folder / str(number)
            train(csv, "diagnosis", name="cancer", tracking_uri=uri, output=output, **{**QUICK, **options})
        assert [delivery.version for delivery in deliver().deliveries] == ["1", "2", "3"]
    return Shelf(folder, uri, csv)


@pytest.fixture
def registry(shelf: Shelf) -> Registry:
    return shelf.registry()
