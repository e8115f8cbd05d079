"""From an address to a bundle: registered versions, aliases, logged models, runs, folders.

models:/breast-cancer/3         a version          models:/breast-cancer@production   an alias
models:/breast-cancer/latest    the newest one     models:/m-5f1c...                  a logged model
runs:/<run id>/model            a run's model      models/breast-cancer               a folder
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio.errors import ModelError
from tabstudio.settings import registry_address, shown, tracking_address

if TYPE_CHECKING:
    from tabstudio.model.predictor import Model

MANIFEST = "manifest.json"
_FORMS = "models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/latest, runs:/RUN_ID/model or a folder"


def load(
    address: str | Path,
    *,
    network: Callable[[int, int], Any] | None = None,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
) -> Model:
    """Load a model from an address of MLflow or a folder, ready to predict raw rows.

    No code from the model is run: a bundle is data. `network` is the factory of a model that was trained with
    one. Raises `ModelError` where there is no such model, or a file of it was changed.

    >>> load("models:/breast-cancer/1")  # doctest: +SKIP
    """
    from tabstudio.model import bundle

    return bundle.load(resolve(address, tracking_uri=tracking_uri, registry_uri=registry_uri), network)


def resolve(address: str | Path, *, tracking_uri: str | None = None, registry_uri: str | None = None) -> Path:
    """Return the local folder of the bundle that an address stands for.

    Where the artifacts are on a server they are downloaded into a new temporary folder. Raises `ModelError`
    naming what exists under a similar name; `ConfigError` for a store of no known kind.
    """
    text = str(address)
    if not text.startswith(("models:", "runs:")):
        return _bundle_in(_folder(text), text)
    tracking_uri = tracking_address(tracking_uri)
    return _Lookup(text, tracking_uri, registry_address(registry_uri, tracking_uri)).bundle()


def _folder(text: str) -> Path:
    folder = Path(text)
    if folder.is_dir():
        return folder
    near = difflib.get_close_matches(folder.name, _names_beside(folder), n=3)
    hint = f"; beside it there is {', '.join(near)}" if near else ""
    raise ModelError(f"model {text}: there is no such folder{hint}. A model is {_FORMS}")


def _names_beside(folder: Path) -> list[str]:
    return [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []


def _bundle_in(folder: Path, address: str) -> Path:
    """Find the bundle in a folder: the folder itself, or that of an MLflow model around it."""
    for candidate in (folder, folder / "bundle"):
        if (candidate / MANIFEST).is_file():
            return candidate
    raise ModelError(
        f"model {address}: {folder} holds no tabstudio bundle ({MANIFEST} is missing). "
        "A model of another library is loaded with that library or mlflow.pyfunc.load_model"
    )


class _Lookup:
    """Looks one address up in MLflow, and says what there is where it does not exist."""

    def __init__(self, address: str, tracking_uri: str, registry_uri: str) -> None:
        self.address = address
        self.tracking_uri, self.registry_uri = tracking_uri, registry_uri
        self._check_database()
        # A loader is often a short script: MLflow's own retries would keep it for four minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri, registry_uri)

    def _check_database(self) -> None:
        """Do not let MLflow make an empty database where somebody only wanted to read."""
        for uri in (self.tracking_uri, self.registry_uri):
            path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
            if uri.startswith("sqlite:///") and not path.exists():
                raise ModelError(
                    f"model {self.address}: there is no database {path}; start in the folder of mlflow.db, "
                    "or say where it is in MLFLOW_TRACKING_URI"
                )

    def bundle(self) -> Path:
        """Return the local bundle folder."""
        from mlflow.exceptions import MlflowException

        kind, _, rest = self.address.partition(":/")
        parts = rest.strip("/").split("/")
        try:
            if kind == "models":
                return self._bundle_at(self._model_location(parts))
            if kind == "runs" and len(parts) == 2:
                return self._bundle_at(self._run_location(*parts))
        except (MlflowException, OSError) as error:
            text = " ".join(str(error).split())[:300]
            raise ModelError(
                f"model {self.address}: {shown(self.registry_uri)} cannot be asked: {text}"
            ) from error
        raise self._unknown(f"expected {_FORMS}")

    def _bundle_at(self, location: str) -> Path:
        from mlflow.artifacts import download_artifacts

        local = Path(location.removeprefix("file://"))
        if not local.is_dir():
            target = tempfile.mkdtemp(prefix="tabstudio-model-")
            local = Path(
                download_artifacts(artifact_uri=location, dst_path=target, tracking_uri=self.tracking_uri)
            )
        return _bundle_in(local, self.address)

    def _model_location(self, parts: list[str]) -> str:
        if len(parts) == 1 and "@" not in parts[0]:
            return self._logged_model(parts[0])
        if len(parts) > 2 or not all(parts):
            raise self._unknown(f"expected {_FORMS}")
        version = self._version(parts)
        if version.model_id:
            return self._logged_model(version.model_id)
        return str(self.client.get_model_version_download_uri(version.name, version.version))

    def _version(self, parts: list[str]) -> Any:
        name, _, alias = parts[0].rpartition("@") if len(parts) == 1 else (parts[0], "", "")
        wanted = parts[1] if len(parts) == 2 else ""
        aliases, versions = self._registered(name)
        if alias:
            number = aliases.get(alias)
        elif wanted.lower() == "latest":
            number = max(versions, default=None)
        elif wanted.isdigit():
            number = int(wanted)
        else:
            number = max((n for n, v in versions.items() if v.current_stage == wanted), default=None)
        if number in versions:
            return versions[number]
        what = f"alias @{alias}" if alias else f"version {wanted}"
        known = [f"its versions are {', '.join(map(str, sorted(versions)[-20:])) or 'none'}"]
        known += [f"its aliases {', '.join(f'@{a}' for a in sorted(aliases))}"] if aliases else []
        raise self._unknown(f"{name} has no {what}; {', '.join(known)}")

    def _registered(self, name: str) -> tuple[dict[str, int], dict[int, Any]]:
        """Return a model's aliases and versions, both by number."""
        from mlflow.exceptions import MlflowException

        try:
            model = self.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise self._unknown(self._similar(name)) from error
        found = self.client.search_model_versions(f'name = "{name}"', max_results=10_000)
        aliases = {alias: int(number) for alias, number in model.aliases.items()}
        return aliases, {int(version.version): version for version in found}

    def _similar(self, name: str) -> str:
        names = [model.name for model in self.client.search_registered_models(max_results=1000)]
        near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
        known = near or sorted(names)[:10]
        there = f"{'did you mean' if near else 'there is'} {', '.join(known)}?" if known else "there is none"
        return f"{shown(self.registry_uri)} has no registered model {name!r}; {there.rstrip('?')}"

    def _logged_model(self, model_id: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.get_logged_model(model_id).artifact_location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise self._unknown(f"there is no logged model {model_id!r}; expected {_FORMS}") from error

    def _run_location(self, run_id: str, name: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise self._unknown(f"{shown(self.tracking_uri)} has no run {run_id!r}") from error
        outputs = run.outputs.model_outputs if run.outputs else []
        models = {m.name: m for m in (self.client.get_logged_model(o.model_id) for o in outputs)}
        if name in models:
            return str(models[name].artifact_location)
        raise self._unknown(f"the run has no model {name!r}; it has {', '.join(sorted(models)) or 'none'}")

    def _unknown(self, reason: str) -> ModelError:
        return ModelError(f"model {self.address}: {reason}")
