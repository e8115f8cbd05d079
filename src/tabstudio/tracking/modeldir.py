"""The folder of a model as MLflow knows it, around a bundle.

MLmodel                     flavor, signature, ids
bundle/                     the bundle, untouched: data only
input_example.json          a few raw rows
serving_input_example.json  the same as a request to `mlflow models serve`
requirements.txt, conda.yaml, python_env.yaml
README.md                   the model card
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tabstudio
from tabstudio.tracking.signature import mlflow_signature

LOADER = "tabstudio.model.pyfunc"
BUNDLE = "bundle"

_NEEDED = ("mlflow", "numpy", "polars", "pandas", "safetensors", "torch")


def requirements() -> list[str]:
    """Say what a server has to install, from what is installed here. MLflow's own inference takes 5 s."""
    lines = [f"tabstudio=={tabstudio.__version__}"]
    for name in _NEEDED:
        try:
            # `torch 2.13.0+cpu` exists on PyTorch's own index only.
            lines.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return lines


def write(folder: Path, event: dict[str, Any], run_id: str, model_id: str, location: str) -> None:
    """Write what belongs around `folder/bundle`, which is there already."""
    from mlflow import pyfunc
    from mlflow.models import Model

    model = Model(
        artifact_path=location,
        run_id=run_id,
        model_uuid=model_id,
        model_id=model_id,
        signature=mlflow_signature(_pairs(event["inputs"]), _pairs(event["outputs"])),
        metadata={"tabstudio_version": tabstudio.__version__},
    )
    if event["example"] is not None:
        model.saved_input_example_info = _write_example(folder, event["example"])
    _write_environment(folder)
    (folder / "README.md").write_text(event["card"])
    pyfunc.add_to_model(
        model, loader_module=LOADER, data=BUNDLE, conda_env="conda.yaml", python_env="python_env.yaml"
    )
    model.save(str(folder / "MLmodel"))


def _pairs(columns: list[list[str]]) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in columns]


def _write_example(folder: Path, example: dict[str, Any]) -> dict[str, str]:
    (folder / "input_example.json").write_text(json.dumps(example))
    (folder / "serving_input_example.json").write_text(json.dumps({"dataframe_split": example}))
    return {
        "artifact_path": "input_example.json",
        "type": "dataframe",
        "pandas_orient": "split",
        "serving_input_path": "serving_input_example.json",
    }


def _write_environment(folder: Path) -> None:
    needed = requirements()
    python = platform.python_version()
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in needed))
    # JSON is YAML: no library is needed to write it right.
    environment = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(json.dumps(environment, indent=2) + "\n")
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": needed}],
    }
    (folder / "conda.yaml").write_text(json.dumps(conda, indent=2) + "\n")
