"""Joins the runs of scripts that use MLflow themselves: the training is recorded in the script's run."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from tabstudio._compat.mlflow import active_experiment_id, registry_uri
from tabstudio.autologging.events import Observer
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.settings import registry_address, tracking_address

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tabstudio.autologging.launch.session import AutologSession
    from tabstudio.tracking import Run
    from tabstudio.tracking.run import Status


class MlflowRunObserver(Observer):
    """Notices the script's own runs.

    As soon as MLflow is imported our run waits: it goes into the first run that the script starts, or becomes
    one of its own when the process ends. MLflow is never imported from here.
    """

    name = "the script's own use of MLflow"

    def install(self, session: AutologSession) -> None:
        """Wrap the functions that start and end runs, as soon as the script imports MLflow."""
        self._session = session
        self._patches = Patches()
        self._joined: dict[str, Run] = {}
        session.imports.when("mlflow", self._watch)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def process_ends(self, status: Status) -> None:
        """Send a run that is still held to the tracking server that the script has set."""
        mlflow = sys.modules.get("mlflow")
        if mlflow is None:
            return
        while status != "FINISHED" and mlflow.active_run() is not None:
            mlflow.end_run(status)  # at exit MLflow itself would call it FINISHED
        if self._session.holds:
            self._session.send(**_address(mlflow))

    def _watch(self, mlflow: ModuleType) -> None:
        self._session.holds = True
        client, fluent = mlflow.MlflowClient, mlflow.tracking.fluent
        create, start, end = client.create_run, fluent.start_run, client.set_terminated
        began = self._session.guarded(self, self._began)
        ended = self._session.guarded(self, self._ended)

        def watched_create(self: MlflowClient, *args: object, **kwargs: object) -> object:
            run = create(self, *args, **kwargs)
            began(self, run.info.run_id)
            return run

        def watched_start(*args: object, **kwargs: object) -> object:
            run = start(*args, **kwargs)
            began(client(), run.info.run_id)
            return run

        def watched_end(self: MlflowClient, run_id: str, *args: object, **kwargs: object) -> object:
            result = end(self, run_id, *args, **kwargs)
            ended(run_id)
            return result

        self._patches.set(client, "create_run", watched_create)
        self._patches.set(client, "set_terminated", watched_end)
        for module in (fluent, mlflow):
            self._patches.set(module, "start_run", watched_start)

    def _began(self, client: MlflowClient, run_id: str) -> None:
        """Join our run to the script's; each nested or further run is joined by another of ours."""
        if run_id not in self._joined:
            address = tracking_address(client.tracking_uri)
            registry = registry_address(registry_uri(client), address)
            self._session.join(into=run_id, tracking_uri=address, registry_uri=registry)
            self._joined[run_id] = self._session.run
        self._session.run = self._joined[run_id]

    def _ended(self, run_id: str) -> None:
        """Go on with the run around the ended one; after the last one, stay with it."""
        if run_id in self._joined:
            self._joined[run_id].over()
            active = sys.modules["mlflow"].active_run()
            if active is not None and active.info.run_id in self._joined:
                self._session.run = self._joined[active.info.run_id]


def _address(mlflow: ModuleType) -> dict[str, str]:
    """Return the tracking URI, registry URI and experiment that the script has set."""
    where: dict[str, str] = {}
    if mlflow.is_tracking_uri_set():
        where["tracking_uri"] = tracking_address(mlflow.get_tracking_uri())
        where["registry_uri"] = registry_address(mlflow.get_registry_uri(), where["tracking_uri"])
    experiment = active_experiment_id()
    if experiment is not None:
        where["experiment"] = mlflow.MlflowClient().get_experiment(experiment).name
    return where
