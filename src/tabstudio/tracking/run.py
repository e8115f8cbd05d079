"""A run of the training code: everything is written to the spool, nothing waits for a server."""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from tabstudio.errors import TabstudioError, TrackingError
from tabstudio.table.schema import Schema
from tabstudio.tracking.mlflow_model import BUNDLE, NETWORK
from tabstudio.tracking.mlflow_names import (
    DIGEST_LENGTH,
    PARAM_LENGTH,
    TAG_LENGTH,
    Names,
    check_model_name,
    shortened,
)
from tabstudio.tracking.signature import TensorSpec, input_columns, output_columns, tensor_columns
from tabstudio.tracking.spool import Journal

if TYPE_CHECKING:
    import polars as pl

Status = Literal["FINISHED", "FAILED", "KILLED"]
MODEL_PARAM_LENGTH = 5000


class Run:
    """A run that is being recorded. As a context it ends the run: Ctrl-C as KILLED, an error as FAILED.

    Every method returns at once. What it recorded survives the end of this process, however it comes.
    """

    def __init__(self, journal: Journal, ended: Callable[[str], None], experiment: str) -> None:
        self.id = journal.id
        self.experiment = experiment
        self.status: Status | None = None
        self._journal = journal
        self._ended = ended
        self._params: dict[str, str] = {}
        self._names = Names()
        self._dataset: tuple[str, str] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be recorded as it was given: names, long values, a full disk."""
        renamed = {**self._names.changed(), **self._journal.renamed()}
        return (*self._journal.notes, *(f"{name!r} is called {given!r}" for name, given in renamed.items()))

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters; nested ones get names with dots."""
        parameters = {self._names[name]: value for name, value in _flat(values)}
        fitting = {
            name: self._cut(f"parameter {name}", value, PARAM_LENGTH) for name, value in parameters.items()
        }
        self._params.update(fitting)
        self._event("params", values=fitting)

    def metrics(self, values: Mapping[str, float], step: int = 0, timestamp: int | None = None) -> None:
        """Record one point of each metric. `timestamp` is in milliseconds since 1970, by default now."""
        if self.status is not None:
            raise TrackingError(_OVER)
        self._journal.points(values, step, int(time.time() * 1000) if timestamp is None else timestamp)

    def series(self, name: str, values: Iterable[tuple[int, float]]) -> None:
        """Record many points of one metric, (step, value) each, as of now; cheaper than one by one."""
        if self.status is not None:
            raise TrackingError(_OVER)
        self._journal.series(name, values, int(time.time() * 1000))

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags."""
        fitting = {self._names[name]: self._cut(f"tag {name}", v, TAG_LENGTH) for name, v in values.items()}
        self._event("tags", values=fitting)

    def note(self, markdown: str) -> None:
        """Set the description that MLflow shows on the run's page."""
        self._event("tags", values={"mlflow.note.content": self._cut("the note", markdown, TAG_LENGTH)})

    def artifact(self, source: Path | str | bytes, name: str) -> None:
        """Keep a copy of a file, a folder or bytes under `name`, such as `pictures/roc.png`.

        Raises `TrackingError` where the file does not exist or the name leads out of the run.
        """
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise TrackingError(f"artifact {name!r}: expected a relative name such as 'pictures/roc.png'")
        spool_path = self._journal.keep(Path(source) if isinstance(source, str) else source, path.name)
        if spool_path is not None:
            self._event("artifact", place=spool_path, to=str(path.parent) if path.parent.parts else "")

    def dataset(
        self,
        name: str,
        fingerprint: str,
        schema: Schema | Sequence[TensorSpec],
        rows: int,
        source: str,
        context: str,
    ) -> None:
        """Record a table, or tensors, as an input of the run. `context` is `training` or `testing`, say."""
        self._dataset = (name[:500], fingerprint[:DIGEST_LENGTH])
        if isinstance(schema, Schema):
            types = input_columns(schema)
            columns = [{"name": column, "type": kind, "required": True} for column, kind in types]
            described: dict[str, object] = {"mlflow_colspec": columns}
        else:
            features = json.dumps(tensor_columns(schema))
            described = {"mlflow_tensorspec": {"features": features, "targets": None}}
        self._event(
            "dataset",
            name=self._dataset[0],
            fingerprint=fingerprint,
            schema=described,
            rows=rows,
            source=source,
            context=context,
        )

    def model(
        self,
        bundle: Path | str,
        schema: Schema,
        input_example: pl.DataFrame | None = None,
        *,
        registered_name: str | None = None,
        metrics: Mapping[str, float] | None = None,
        card: str = "",
        tags: Mapping[str, object] | None = None,
        name: str = "model",
        step: int = 0,
    ) -> None:
        """Log the bundle as a model, and register a version of `registered_name` where one is given.

        `input_example` holds a few raw rows. `metrics` are linked to the model; where the run has them, these
        are the same points. `card` is the description of the model, in Markdown.
        Raises `ConfigError` for a name that cannot be registered, `TrackingError` where there is no bundle.
        """
        if schema.target is None:
            raise TrackingError(f"model {name}: its schema has no target")
        inputs = input_columns(schema)
        self._model(
            Path(bundle),
            BUNDLE,
            registered_name,
            metrics or {},
            tags or {},
            inputs=inputs,
            outputs=output_columns(schema.target),
            example=None if input_example is None else _split(input_example, [n for n, _ in inputs]),
            name=name,
            card=card,
            step=step,
        )

    def network(
        self,
        folder: Path,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        example: Sequence[object] | None,
        *,
        version: str,
        registered_name: str | None = None,
        metrics: Mapping[str, float] | None = None,
        card: str = "",
        tags: Mapping[str, object] | None = None,
        name: str = "model",
        step: int = 0,
    ) -> None:
        """Log `folder/model.pt2` as a model that `mlflow.pytorch.load_model` loads; the rest as in `model`.

        `version` is PyTorch's; `example` a nested list of the one input's values.
        Raises `ConfigError` for a name that cannot be registered, `TrackingError` where there is no folder.
        """
        self._model(
            folder,
            NETWORK,
            registered_name,
            metrics or {},
            tags or {},
            inputs=tensor_columns(inputs),
            outputs=tensor_columns(outputs),
            example=example,
            network=version,
            name=name,
            card=card,
            step=step,
        )

    def _model(
        self,
        folder: Path,
        called: str,
        registered_name: str | None,
        metrics: Mapping[str, float],
        tags: Mapping[str, object],
        **what: object,
    ) -> None:
        if registered_name is not None:
            check_model_name(registered_name)
        spool_path = self._journal.keep(folder, called)
        if spool_path is None:
            return
        self._event(
            "model",
            place=spool_path,
            registered_name=registered_name,
            metrics={self._names[key]: float(value) for key, value in metrics.items()},
            params={key: shortened(value, MODEL_PARAM_LENGTH) for key, value in self._params.items()},
            tags={self._names[key]: str(value) for key, value in tags.items()},
            dataset=self._dataset,
            time=int(time.time() * 1000),
            **what,
        )

    def finish(self, status: Status = "FINISHED") -> None:
        """End the run. A second call changes nothing."""
        if self.status is None:
            self._event("finish", status=status, time=int(time.time() * 1000), notes=self.notes)
            self.status = status
            self._journal.close()
            self._ended(self.id)

    def fail(self, error: BaseException) -> None:
        """End the run as FAILED, the traceback as an artifact; an error of ours says all by itself."""
        text = str(error) if isinstance(error, TabstudioError) else _traceback(error)
        self.artifact(text.encode(), "error/error.txt")
        self.finish("FAILED")

    def readdress(self, **address: str) -> None:
        """Change where a run that is held back shall go: fields of `About`."""
        self._journal.readdress(**address)

    def over(self) -> None:
        """The run of somebody else's into which this one goes is over: nothing stands in the way any more."""
        if self.status is None:
            self._journal.over()

    def leave(self) -> None:
        """Leave an ended run to the next start, where MLflow has not got it yet."""
        if self.status is not None:
            self._journal.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self.status is not None:
            self.finish()
        elif isinstance(error, KeyboardInterrupt):
            self.finish("KILLED")
        else:
            self.fail(error)

    def _event(self, kind: str, **body: object) -> None:
        if self.status is not None:
            raise TrackingError(_OVER)
        self._journal.event(kind, **body)

    def _cut(self, what: str, value: object, limit: int) -> str:
        text = str(value)
        if len(text) > limit:
            self._journal.notes.append(f"{what}: {len(text)} characters were shortened to {limit}")
        return shortened(text, limit)


_OVER = "the run has ended: nothing can be recorded any more; start another one"


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def _split(frame: pl.DataFrame, columns: list[str]) -> dict[str, object]:
    rows = [[_json_value(value) for value in row] for row in frame.select(columns).rows()]
    return {"columns": columns, "data": rows}


def _json_value(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, date) else json.loads(json.dumps(value, default=str))
