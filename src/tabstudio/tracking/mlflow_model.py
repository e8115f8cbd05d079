"""The folder of a model as MLflow knows it, around a bundle, or around a network of the user's own.

MLmodel                     flavor, signature, ids
bundle/                     the bundle, untouched: data only
data/model.pt2              or else the network, as `mlflow.pytorch` keeps it
input_example.json          a few raw rows, or a tensor of them
serving_input_example.json  the same as a request to `mlflow models serve`
requirements.txt, conda.yaml, python_env.yaml
README.md                   the model card
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import tabstudio
from tabstudio.tracking.signature import mlflow_signature, mlflow_tensors
from tabstudio.tracking.spool_events import ModelEvent

if TYPE_CHECKING:
    from mlflow.models import Model

LOADER = "tabstudio.model.pyfunc"
BUNDLE = "bundle"
NETWORK = "data"
"""The folder that `mlflow.pytorch` looks for `model.pt2` in."""

_NEEDED = ("mlflow", "numpy", "polars", "pandas", "safetensors", "torch")
_NEEDED_BY_PYTORCH = ("mlflow", "numpy", "pandas", "torch")


def requirements() -> list[str]:
    """Return a server's requirements, from the packages installed here. MLflow's own inference takes 5 s."""
    return [f"tabstudio=={tabstudio.__version__}", *_installed(_NEEDED)]


def _installed(names: tuple[str, ...]) -> list[str]:
    lines = []
    for name in names:
        try:
            # `torch 2.13.0+cpu` exists on PyTorch's own index only.
            lines.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return lines


def write(folder: Path, event: ModelEvent, run_id: str, model_id: str, location: str) -> None:
    """Write what belongs around the bundle or the network, which is in `folder` already."""
    from mlflow.models import Model

    is_network = event.get("network") is not None
    model = Model(
        artifact_path=location,
        run_id=run_id,
        model_uuid=model_id,
        model_id=model_id,
        signature=mlflow_tensors(event["inputs"], event["outputs"])
        if is_network
        else mlflow_signature(_pairs(event["inputs"]), _pairs(event["outputs"])),
        metadata={"tabstudio_version": tabstudio.__version__},
    )
    if event["example"] is not None:
        write_example = _write_tensor if is_network else _write_example
        model.saved_input_example_info = write_example(folder, event["example"])
    _write_environment(folder, _installed(_NEEDED_BY_PYTORCH) if is_network else requirements())
    (folder / "README.md").write_text(event["card"])
    if is_network:
        _add_network(model, event)
    else:
        _add_pyfunc(model, loader_module=LOADER, data=BUNDLE)
    model.save(str(folder / "MLmodel"))


def _add_network(model: Model, event: ModelEvent) -> None:
    """Describe `data/model.pt2` as `mlflow.pytorch.save_model` does, which itself would export anew."""
    model.add_flavor("pytorch", model_data=NETWORK, pytorch_version=event["network"], code=None)
    if len(event["inputs"]) == 1:  # MLflow's `predict` takes one array
        loading = {"pickle_module_name": "mlflow.pytorch.pickle_module", "model_config": {"device": None}}
        _add_pyfunc(model, loader_module="mlflow.pytorch", data=NETWORK, **loading)


def _add_pyfunc(model: Model, **options: object) -> None:
    from mlflow import pyfunc

    pyfunc.add_to_model(model, conda_env="conda.yaml", python_env="python_env.yaml", **options)


def _pairs(columns: list[list[str]]) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in columns]


def _write_example(folder: Path, example: dict[str, object]) -> dict[str, str]:
    (folder / "input_example.json").write_text(json.dumps(example))
    (folder / "serving_input_example.json").write_text(json.dumps({"dataframe_split": example}))
    return {
        "artifact_path": "input_example.json",
        "type": "dataframe",
        "pandas_orient": "split",
        "serving_input_path": "serving_input_example.json",
    }


def _write_tensor(folder: Path, example: Sequence[object]) -> dict[str, str]:
    (folder / "input_example.json").write_text(json.dumps(example))
    (folder / "serving_input_example.json").write_text(json.dumps({"inputs": example}))
    return {
        "artifact_path": "input_example.json",
        "type": "ndarray",
        "serving_input_path": "serving_input_example.json",
    }


def _write_environment(folder: Path, needed: list[str]) -> None:
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
