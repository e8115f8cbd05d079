"""What a studio has to show: a model in two versions that `tabstudio train` made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commands import tabstudio

ODD = "odd <b> 'x' & 100%"
"""A model's name that a page must take for text."""
RULES = """
[registry.stages.staging.gates]
metrics = { accuracy = 0.9999 }

[registry.stages.production.gates]
metrics = { accuracy = 0.2 }

[registry.stages.champion]
approvals = 1
"""
ORDER = '[registry]\norder = ["staging", "production", "champion", "archived"]\n'


def fill(folder: Path, table: Path) -> None:
    """Train `cancer` twice, register the second under an odd name, too; all in MLflow in this folder."""
    from mlflow import MlflowClient

    from tabstudio import train
    from tabstudio.tracking import deliver

    quick = {"resamples": 200, "references": False, "patience": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TABSTUDIO_DELIVERY", "later")
        train(str(table), "diagnosis", name="cancer", network="mlp", hidden=(8,), epochs=4, **quick)
        train(str(table), "diagnosis", name="cancer", network="mlp", hidden=(30, 15), epochs=40, **quick)
        assert deliver().complete
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    made = client.get_model_version("cancer", "2")
    client.create_registered_model(ODD)
    logged = client.get_logged_model(made.source.removeprefix("models:/"))
    client.create_model_version(ODD, logged.artifact_location, made.run_id)
    (folder / "tabstudio.toml").write_text(ORDER + RULES)


def copied(trained: Path, folder: Path) -> Path:
    """The same runs and models in another folder, without any history; artifacts stay where they lie."""
    for name in ("mlflow.db", "tabstudio.toml"):
        shutil.copy(trained / name, folder / name)
    return folder


def terminal(folder: Path, *words: str, actor: str = "carol") -> str:
    """Run a tabstudio command in a terminal of that folder, as somebody."""
    done = tabstudio(folder, *words, TABSTUDIO_ACTOR=actor)
    assert done.returncode == 0, done.stderr
    return done.stdout
