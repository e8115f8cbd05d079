"""A model on its way: logged model, artifacts, links to the run and its metrics, registered version."""

from __future__ import annotations

import json
from collections.abc import Callable

from mlflow.entities import LoggedModelOutput, Metric

from tabstudio.tracking import mlflow_model
from tabstudio.tracking.mlflow_names import SIZE_TAG, abridged
from tabstudio.tracking.mlflow_store import MlflowStore, RefusedError
from tabstudio.tracking.spool import RunFolder
from tabstudio.tracking.spool_events import ModelEvent

DESCRIPTION_LENGTH = 5000
MODEL_TAG = "tabstudio.model"


class ModelUpload:
    """Brings one `model` event to MLflow; may be interrupted and repeated at any point."""

    def __init__(
        self, server: MlflowStore, folder: RunFolder, latest: Callable[[list[str]], dict[str, Metric]]
    ) -> None:
        self.server, self.folder, self.latest = server, folder, latest
        self.client, self.state = server.client, folder.state

    def push(self, event: ModelEvent) -> None:
        """Log the model, and register it where the event names a registered model."""
        if self._first("model", event):
            self.state.model_id = self._create(event)
        else:
            self.state.model_id = self._found(event) or self._create(event)
        self.folder.save()
        self._store(event)
        self._link(event)
        if not self.state.version:  # of several models the registered one is the run's
            self.state.model_uri = f"models:/{self.state.model_id}"
        if event["registered_name"]:
            self._register(event["registered_name"], event)
        self.folder.save()

    def _first(self, what: str, event: ModelEvent) -> bool:
        """Say whether this is the first attempt, and write down that there was one."""
        mark = f"{what} {event['place']}"
        if mark in self.state.attempted:
            return False
        self.state.attempted.append(mark)
        self.folder.save()
        return True

    def _mark(self, event: ModelEvent) -> str:
        return f"{self.folder.about.id}/{event['place']}"

    def _size(self, event: ModelEvent) -> int:
        """Bytes of the model's artifacts: the registry shows them without fetching any."""
        folder = self.folder.path / event["place"]
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    def _create(self, event: ModelEvent) -> str:
        model = self.server(
            "make the model",
            lambda: self.client.create_logged_model(
                self.state.experiment_id,
                name=event["name"],
                source_run_id=self.state.run_id,
                tags={**event["tags"], MODEL_TAG: self._mark(event)},
                params=event["params"],
                model_type="pytorch" if event.get("network") else "tabular",
            ),
        )
        return str(model.model_id)

    def _found(self, event: ModelEvent) -> str:
        results = self.server(
            "look for the model",
            lambda: self.client.search_logged_models(
                [self.state.experiment_id], f"source_run_id = '{self.state.run_id}'"
            ),
        )
        return next((str(m.model_id) for m in results if m.tags.get(MODEL_TAG) == self._mark(event)), "")

    def _store(self, event: ModelEvent) -> None:
        model_id = self.state.model_id
        model = self.server("look at the model", lambda: self.client.get_logged_model(model_id))
        folder = self.folder.path / event["place"]
        mlflow_model.write(folder, event, self.state.run_id, model_id, model.artifact_location)
        self.server("store the model", lambda: self.client.log_model_artifacts(model_id, str(folder)))

    def _link(self, event: ModelEvent) -> None:
        model_id, run_id = self.state.model_id, self.state.run_id
        outputs = self.server("look at the run", lambda: self.client.get_run(run_id)).outputs
        if all(output.model_id != model_id for output in (outputs.model_outputs if outputs else ())):
            output = LoggedModelOutput(model_id, step=event["step"])
            self.server("link the model", lambda: self.client.log_outputs(run_id, [output]))
        metrics = self._metrics(event)
        if metrics:
            self.server("log the model's metrics", lambda: self.client.log_batch(run_id, metrics=metrics))
        self.server("finish the model", lambda: self.client.finalize_logged_model(model_id, "READY"))

    def _metrics(self, event: ModelEvent) -> list[Metric]:
        known = self.latest(list(event["metrics"]))
        metrics = []
        for name, value in event["metrics"].items():
            point = known.get(name)
            timestamp, step = event["time"], event["step"]
            if point is not None and point.value == value:
                timestamp, step = point.timestamp, point.step
            metrics.append(
                Metric(
                    name,
                    value,
                    timestamp,
                    step,
                    model_id=self.state.model_id,
                    dataset_name=event["dataset"][0] if event["dataset"] else None,
                    dataset_digest=event["dataset"][1] if event["dataset"] else None,
                    run_id=self.state.run_id,
                )
            )
        return metrics

    def _register(self, name: str, event: ModelEvent) -> None:
        version = "" if self._first("version", event) else self._found_version(name, event)
        self.state.version = version or self._new_version(name, event)
        self._describe(name, event["card"])
        # What `mlflow.register_model` sets, too: MLflow's page of the model shows its versions by this tag.
        link = json.dumps([{"name": name, "version": self.state.version}])
        self.server(
            "link the version",
            lambda: self.client.set_logged_model_tags(self.state.model_id, {"mlflow.modelVersions": link}),
        )
        self.state.model_uri = f"models:/{name}/{self.state.version}"

    def _found_version(self, name: str, event: ModelEvent) -> str:
        results = self.server(
            "look for the version",
            lambda: self.client.search_model_versions(f"name = {json.dumps(name)}"),
        )
        mark = self._mark(event)
        return next((str(v.version) for v in results if v.tags.get(MODEL_TAG) == mark), "")

    def _new_version(self, name: str, event: ModelEvent) -> str:
        try:
            self.server("make the registered model", lambda: self.client.create_registered_model(name))
        except RefusedError:
            self.server("look for the registered model", lambda: self.client.get_registered_model(name))
        version = self.server(
            f"register a version of {name}",
            lambda: self.client.create_model_version(
                name,
                f"models:/{self.state.model_id}",
                run_id=self.state.run_id,
                tags={**event["tags"], MODEL_TAG: self._mark(event), SIZE_TAG: str(self._size(event))},
                model_id=self.state.model_id,
            ),
        )
        return str(version.version)

    def _describe(self, name: str, card: str) -> None:
        """Give the version its card, which could not name the version before there was one."""
        version, address = self.state.version, f"models:/{name}/{self.state.version}"
        card = card.replace(f"models:/{name}/latest", address)
        text = abridged(card, DESCRIPTION_LENGTH, f"tabstudio card {address}")
        if text:
            self.server("describe the version", lambda: self.client.update_model_version(name, version, text))
