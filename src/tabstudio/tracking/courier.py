"""Brings one run from the spool to MLflow, in order, in batches, each thing exactly once.

After each step the place reached is written down. A process killed between a push and that note repeats the
push: params, tags, artifacts and dataset inputs are the same when sent twice; SQL stores keep a metric point
once, by its primary key (key, timestamp, step, value). For the file store, and for what has no key of its own
(run, model, version), the server is asked first whether the last attempt got through.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from tabstudio.tracking import environment
from tabstudio.tracking.mlflow_names import DIGEST_LENGTH, TAG_LENGTH, shortened
from tabstudio.tracking.mlflow_store import MlflowStore, RefusedError, UnreachableError
from tabstudio.tracking.model_upload import ModelUpload
from tabstudio.tracking.spool import RunFolder
from tabstudio.tracking.spool_events import ArtifactEvent, DatasetEvent, FinishEvent, ModelEvent, ValuesEvent

METRICS_PER_BATCH = 1000
KEYS_PER_BATCH = 100
RUN_TAG = "tabstudio.run"


class Courier:
    """Delivers one run. `step` does a bounded piece of work and returns whether there was any."""

    def __init__(self, folder: RunFolder, connect: Callable[[RunFolder], MlflowStore]) -> None:
        self.folder = folder
        self.about, self.state = folder.about, folder.state
        self.done = False
        self.samples: list[Metric] = []
        self._ahead: list[tuple[int, object]] = []
        self._connect = connect
        self._latest: dict[str, Metric] = {}
        self._resumed = bool(self.state.run_id)
        self._looked = 0.0

    def step(self) -> bool:
        """Deliver the next piece. Raises `UnreachableError` where the store cannot be used now."""
        if not self._may_begin():
            return False
        self.server = self._connect(self.folder)
        if not self.state.run_id:
            return self._begin()
        if not self.state.described:
            self._unless_refused(self._describe)
            self.state.described = True
            self.folder.save()
            return True
        self._ahead = self._ahead or self.folder.read()
        if self._ahead:
            self._next(self._ahead)
            return True
        if self.samples:
            self._unless_refused(self._push_samples)
        return self._ended_without_a_word()

    def _may_begin(self) -> bool:
        """Say whether the owner of somebody else's run can have nothing more to say before us.

        A parameter of ours would make MLflow refuse theirs, a metric would be there twice.
        """
        if not self.about.into or self.state.run_id:
            return True
        if time.monotonic() < self._looked + 0.1:
            return False
        self._looked = time.monotonic()
        return self.folder.ended() or not self.folder.alive()

    def _begin(self) -> bool:
        """Make or join the run; False where it has to wait for its parent."""
        if self.about.into:
            self._join()
            return True
        parent = self._parent()
        if parent is not None and not parent.state.run_id:
            return False
        experiment = self.server.experiment(self.about.experiment)
        self.state.experiment_id = experiment
        self.state.run_id = self._attempted_run(experiment) or self._new_run(experiment, parent)
        self.folder.save()
        return True

    def _join(self) -> None:
        """Find the run that another process created, and its contents."""
        run = self.server("look for the run", lambda: self.server.client.get_run(self.about.into))
        self.state.experiment_id = run.info.experiment_id
        self.state.theirs = {"params": list(run.data.params), "metrics": list(run.data.metrics)}
        self.state.run_id = self.about.into
        self.folder.save()

    def _is_theirs(self, kind: str, name: str) -> bool:
        return self.state.theirs is not None and name in self.state.theirs[kind]

    def _parent(self) -> RunFolder | None:
        """The parent as it stands in the spool; None where there is none, or it was delivered whole."""
        path = self.folder.path.parent / self.about.parent
        return RunFolder(path) if self.about.parent and (path / "about.json").exists() else None

    def _attempted_run(self, experiment: str) -> str:
        """Return the run created by an earlier attempt that got no response, or ''."""
        if "run" in self.state.attempted:
            return self._found_run(experiment, self.about.id)
        self.state.attempted.append("run")
        self.folder.save()
        return ""

    def _found_run(self, experiment: str, spool_id: str) -> str:
        tagged = f"tags.`{RUN_TAG}` = '{spool_id}'"
        runs = self.server("look for the run", lambda: self.server.client.search_runs([experiment], tagged))
        return str(runs[0].info.run_id) if runs else ""

    def _new_run(self, experiment: str, parent: RunFolder | None) -> str:
        tags = {**self.about.tags, RUN_TAG: self.about.id}
        if self.about.parent:
            above = parent.state.run_id if parent else self._found_run(experiment, self.about.parent)
            tags |= {"mlflow.parentRunId": above} if above else {}
            tags |= {"mlflow.source.name": self.about.source}
            self.state.described = True
        run = self.server(
            "make the run",
            lambda: self.server.client.create_run(
                experiment, start_time=self.about.start_time, tags=tags, run_name=self.about.run_name
            ),
        )
        return str(run.info.run_id)

    def _describe(self) -> None:
        """Add the source version and the environment. They need nothing from the training process."""
        if not self.about.into:
            self._tags(environment.source_tags(self.about.source, Path(self.about.cwd)))
        if (commit := environment.commit(Path(self.about.cwd))) and not self._is_theirs(
            "params", "git.commit"
        ):
            self._one_by_one([Param("git.commit", commit)])
        here = self.folder.path / "environment"
        here.mkdir(exist_ok=True)
        (here / "requirements.txt").write_text("\n".join(environment.packages()) + "\n")
        (here / "environment.json").write_text(json.dumps(environment.environment(), indent=2) + "\n")
        self._artifacts(here, "environment")

    def _next(self, events: list[tuple[int, Any]]) -> None:
        points = list(takewhile(lambda item: isinstance(item[1], list), islice(events, METRICS_PER_BATCH)))
        if points:
            self._points([event for _, event in points])
            self._delivered(points[-1][0])
            del events[: len(points)]
            return
        offset, event = events[0]
        if event is not None:
            self._unless_refused(lambda: getattr(self, f"_on_{event['kind']}")(event))
        if not self.done:
            self._delivered(offset)
        del events[0]

    def _unless_refused(self, action: Callable[[], None]) -> None:
        """Do it. What the store will never take is left out with a note: it must not hold up the rest."""
        try:
            action()
        except RefusedError as error:
            self._check_run()
            self.folder.remark(str(error))

    def _delivered(self, offset: int) -> None:
        self.state.offset = offset
        self.folder.save()

    def _check_run(self) -> None:
        """Tell a refused record from a run that somebody has deleted: for that one nothing may be dropped."""
        run = self.server("look at the run", lambda: self.server.client.get_run(self.state.run_id))
        if run.info.lifecycle_stage == "deleted":
            raise UnreachableError(
                f"{self.server.address}: the run {self.state.run_id} was deleted there; restore it in MLflow "
                f"and run `tabstudio sync`, or remove {self.folder.path}"
            )

    def _points(self, points: list[list[Any]]) -> None:
        metrics = [
            Metric(key, value, timestamp, step)
            for _, key, value, step, timestamp in points
            if not self._is_theirs("metrics", key)
        ]
        if self._resumed and self.server.forgets_nothing:
            metrics = self._not_there(metrics)
        self._resumed = False
        self._log(metrics)
        self._latest.update((metric.key, metric) for metric in metrics)

    def _log(self, metrics: list[Metric]) -> None:
        try:
            self._batch("log metrics", metrics=metrics)
        except RefusedError as error:
            self._check_run()
            if len(metrics) == 1:
                self.folder.remark(str(error))
                return
            middle = len(metrics) // 2
            self._log(metrics[:middle])
            self._log(metrics[middle:])

    def _not_there(self, metrics: list[Metric]) -> list[Metric]:
        """Leave out the points that the file store, which keeps duplicates, has already."""
        there = set()
        for key in {metric.key for metric in metrics}:
            there |= {(m.key, str(m.value), m.timestamp, m.step) for m in self._history(key)}
        return [m for m in metrics if (m.key, str(m.value), m.timestamp, m.step) not in there]

    def _history(self, key: str) -> list[Metric]:
        client = self.server.client
        return list(self.server("read metrics", lambda: client.get_metric_history(self.state.run_id, key)))

    def _batch(self, doing: str, **what: object) -> None:
        self.server(doing, lambda: self.server.client.log_batch(self.state.run_id, **what))

    def _push_samples(self) -> None:
        samples, self.samples[:METRICS_PER_BATCH] = self.samples[:METRICS_PER_BATCH], []
        try:
            self._batch("log system metrics", metrics=samples)
        except UnreachableError:
            self.samples[:0] = samples
            raise

    def _tags(self, tags: dict[str, str]) -> None:
        self._batch("set tags", tags=[RunTag(key, value) for key, value in tags.items()])

    def _artifacts(self, folder: Path, to: str | None) -> None:
        client = self.server.client
        self.server("store artifacts", lambda: client.log_artifacts(self.state.run_id, str(folder), to))

    def _on_params(self, event: ValuesEvent) -> None:
        params = [
            Param(key, value) for key, value in event["values"].items() if not self._is_theirs("params", key)
        ]
        for first in range(0, len(params), KEYS_PER_BATCH):
            chunk = params[first : first + KEYS_PER_BATCH]
            try:
                self._batch("log parameters", params=chunk)
            except RefusedError:
                self._one_by_one(chunk)

    def _one_by_one(self, params: list[Param]) -> None:
        for param in params:
            self._unless_refused(partial(self._batch, f"log the parameter {param.key}", params=[param]))

    def _on_tags(self, event: ValuesEvent) -> None:
        tags = list(event["values"].items())
        for first in range(0, len(tags), KEYS_PER_BATCH):
            self._tags(dict(tags[first : first + KEYS_PER_BATCH]))

    def _on_artifact(self, event: ArtifactEvent) -> None:
        self._artifacts(self.folder.path / event["place"], event["to"] or None)
        shutil.rmtree(self.folder.path / event["place"])

    def _on_dataset(self, event: DatasetEvent) -> None:
        dataset = Dataset(
            name=event["name"],
            digest=event["fingerprint"][:DIGEST_LENGTH],
            source_type="local",
            source=json.dumps({"uri": event["source"]}),
            schema=json.dumps(event["schema"]),
            profile=json.dumps({"num_rows": event["rows"], "fingerprint": event["fingerprint"]}),
        )
        tags = [InputTag("mlflow.data.context", event["context"])]
        client = self.server.client
        self.server(
            "log the data set",
            lambda: client.log_inputs(self.state.run_id, [DatasetInput(dataset, tags)]),
        )

    def _on_model(self, event: ModelEvent) -> None:
        ModelUpload(self.server, self.folder, self._latest_points).push(event)

    def _latest_points(self, names: list[str]) -> dict[str, Metric]:
        """Return the last point of each metric: the model gets that very point, the run no second one."""
        for name in names:
            if name not in self._latest and (known := self._history(name)):
                self._latest[name] = max(known, key=lambda metric: (metric.step, metric.timestamp))
        return {name: self._latest[name] for name in names if name in self._latest}

    def _on_finish(self, event: FinishEvent) -> None:
        if self.samples:
            self._push_samples()
        self._finish(event["status"], event["time"], event["notes"])

    def _finish(self, status: str, end_time: int, notes: list[str]) -> None:
        for note in notes:
            self.folder.remark(note)
        if self.state.notes:
            self._tags({"tabstudio.notes": shortened("\n".join(self.state.notes), TAG_LENGTH)})
        if not self.about.into or self._is_left_running(status):
            client = self.server.client
            self.server(
                "end the run",
                lambda: client.set_terminated(self.state.run_id, status=status, end_time=end_time),
            )
        self.done = True
        self.folder.remove()

    def _is_left_running(self, status: str) -> bool:
        """Return whether another process's run still counts as running although that process has ended."""
        if status != "KILLED" or self.folder.alive():
            return False
        run = self.server("look at the run", lambda: self.server.client.get_run(self.state.run_id))
        return bool(run.info.status == "RUNNING")

    def _ended_without_a_word(self) -> bool:
        """End a run as KILLED whose process is gone. Looks once a second."""
        if time.monotonic() < self._looked + 1.0:
            return False
        self._looked = time.monotonic()
        if self.folder.alive():
            return False
        if not self.folder.read():
            self._finish("KILLED", self._last_sign(), ["the process ended without finishing the run"])
        return True

    def _last_sign(self) -> int:
        return int(max(path.stat().st_mtime for path in self.folder.path.glob("journal-*")) * 1000)
