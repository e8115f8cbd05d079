"""From an address to a bundle: registered versions, aliases, logged models, runs, folders.

models:/breast-cancer/3         a version          models:/breast-cancer@production   an alias
models:/breast-cancer/latest    the newest one     models:/m-5f1c...                  a logged model
runs:/<run id>/model            a run's model      models/breast-cancer               a folder
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from tabstudio.errors import ForeignModelError, ModelError, TrackingError
from tabstudio.registry.downloads import Downloads
from tabstudio.registry.mlflow_client import MISSING, RegistryClient
from tabstudio.settings import shown

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from tabstudio.model.bundle import Factory
    from tabstudio.model.predictor import Model

MANIFEST = "manifest.json"
SHOWN = 20
"""How many versions a message names."""
_FORMS = "models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/latest, runs:/RUN_ID/model or a folder"
_DOWNLOADS = Downloads()
"""Of the process: removed when it ends."""


def load(
    address: str | Path,
    *,
    network: Factory | None = None,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
) -> Model:
    """Load a model from an address of MLflow or a folder, ready to predict raw rows.

    No code from the model is run: a bundle is data.

    Parameters
    ----------
    address : str or path
        `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `models:/NAME/latest`, `runs:/ID/model` or a folder.
    network : callable, optional
        The factory of a model that was trained with one: `(inputs, outputs) -> torch.nn.Module`.
    tracking_uri, registry_uri : str, optional
        MLflow's addresses; by default as MLflow's own settings say.

    Returns
    -------
    Model
        `predict` gives labels or values (rows,), `predict_proba` probabilities (rows, classes).

    Raises
    ------
    ModelError
        There is no such model, or a file of it was changed.

    Examples
    --------
    >>> tabstudio.load("models:/cancer/1").predict("new-patients.csv")  # doctest: +SKIP
    """
    from tabstudio.model import predictor

    with Downloads() as downloads:  # a loaded model needs its files no more
        folder = resolve(address, tracking_uri=tracking_uri, registry_uri=registry_uri, downloads=downloads)
        return predictor.load(folder, network)


def resolve(
    address: str | Path,
    *,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
    downloads: Downloads | None = None,
) -> Path:
    """Return the local folder of the bundle that an address stands for.

    Where the artifacts are on a server they are downloaded into a temporary folder, which goes when
    `downloads` is closed; without one, when the process ends. Raises `ModelError` naming what exists under a
    similar name; `ConfigError` for a store of no known kind.
    """
    text = str(address)
    if not text.startswith(("models:", "runs:")):
        return _bundle_in(_folder(text), text)
    try:
        client = RegistryClient(tracking_uri, registry_uri)
    except (ModelError, TrackingError) as error:
        raise ModelError(f"model {text}: {error}") from error
    return AddressResolver(text, client, downloads).bundle()


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
    raise ForeignModelError(
        f"model {address}: {folder} holds no tabstudio bundle ({MANIFEST} is missing). "
        "A model of another library is loaded with that library or mlflow.pyfunc.load_model"
    )


class AddressResolver:
    """Looks one address up in MLflow, and says what there is where it does not exist.

    Artifacts on a server are downloaded into folders of `downloads`, by default those of the process.
    """

    def __init__(self, address: str, client: RegistryClient, downloads: Downloads | None = None) -> None:
        self.address = address
        self.client, self.mlflow = client, client.mlflow
        self.downloads = downloads or _DOWNLOADS

    def bundle(self) -> Path:
        """Return the local bundle folder. Raises `ModelError` where there is none."""
        return _bundle_in(self.folder(), self.address)

    def folder(self) -> Path:
        """Return the local folder of the artifacts, whatever they are. Raises `ModelError` without any."""
        try:
            with self.client.asking("find the model"):
                return self._local(self._location())
        except TrackingError as error:
            raise self._unknown(str(error)) from error

    def version(self) -> ModelVersion | None:
        """Return MLflow's version that the address names; None for a logged model or a run's."""
        kind, _, rest = self.address.partition(":/")
        parts = rest.strip("/").split("/")
        if kind != "models" or (len(parts) == 1 and "@" not in parts[0]):
            return None
        with self.client.asking("find the version"):
            return self._version(parts)

    def _location(self) -> str:
        kind, _, rest = self.address.partition(":/")
        parts = rest.strip("/").split("/")
        if kind == "models":
            return self._model_location(parts)
        if kind == "runs" and len(parts) == 2:
            return self._run_location(*parts)
        raise self._unknown(f"expected {_FORMS}")

    def _local(self, location: str) -> Path:
        local = Path(location.removeprefix("file://"))
        if local.is_dir():
            return local
        from mlflow.artifacts import download_artifacts

        target, uri = self.downloads.folder(), self.client.tracking_uri
        return Path(download_artifacts(artifact_uri=location, dst_path=str(target), tracking_uri=uri))

    def _model_location(self, parts: list[str]) -> str:
        if len(parts) == 1 and "@" not in parts[0]:
            return self._logged_model(parts[0])
        if len(parts) > 2 or not all(parts):
            raise self._unknown(f"expected {_FORMS}")
        version = self._version(parts)
        if version.model_id:
            return self._logged_model(version.model_id)
        return str(self.mlflow.get_model_version_download_uri(version.name, version.version))

    def _version(self, parts: list[str]) -> ModelVersion:
        name, _, alias = parts[0].rpartition("@") if len(parts) == 1 else (parts[0], "", "")
        wanted = parts[1] if len(parts) == 2 else ""
        from mlflow.exceptions import MlflowException

        try:
            if alias:
                return self.mlflow.get_model_version_by_alias(name, alias)
            if wanted.isdigit():
                return self.mlflow.get_model_version(name, wanted)
        except MlflowException as error:
            if error.error_code not in (MISSING, "INVALID_PARAMETER_VALUE"):
                raise
        model = self._registered(name)
        newest = self.client.newest(name, SHOWN)
        if wanted.lower() == "latest" and newest:
            return newest[0]
        for version in model.latest_versions:
            if version.current_stage == wanted:
                return version
        raise self._unknown(_alternatives(model, alias, wanted, [v.version for v in newest]))

    def _registered(self, name: str) -> RegisteredModel:
        try:
            return self.client.registered(name)
        except ModelError as error:
            raise self._unknown(str(error)) from error

    def _logged_model(self, model_id: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self.mlflow.get_logged_model(model_id).artifact_location)
        except MlflowException as error:
            if error.error_code != MISSING:
                raise
            raise self._unknown(f"there is no logged model {model_id!r}; expected {_FORMS}") from error

    def _run_location(self, run_id: str, name: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            run = self.mlflow.get_run(run_id)
        except MlflowException as error:
            if error.error_code != MISSING:
                raise
            where = shown(self.client.tracking_uri)
            raise self._unknown(f"{where} has no run {run_id!r}") from error
        outputs = run.outputs.model_outputs if run.outputs else []
        models = {m.name: m for m in (self.mlflow.get_logged_model(o.model_id) for o in outputs)}
        if name in models:
            return str(models[name].artifact_location)
        raise self._unknown(f"the run has no model {name!r}; it has {', '.join(sorted(models)) or 'none'}")

    def _unknown(self, reason: str) -> ModelError:
        return ModelError(f"model {self.address}: {reason}")


def _alternatives(model: RegisteredModel, alias: str, wanted: str, newest: list[str]) -> str:
    what = f"alias @{alias}" if alias else f"version {wanted}"
    known = f"its versions are {', '.join(sorted(map(str, newest), key=int)) or 'none'}"
    aliases = ", ".join(f"@{name}" for name in sorted(model.aliases))
    return f"{model.name} has no {what}; {known}" + (f", its aliases {aliases}" if aliases else "")
