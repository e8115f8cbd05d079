"""`tabstudio.log_model`: a network and its preprocessing as one model that takes raw rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tabstudio.autologging.launch.start import current_session
from tabstudio.errors import TrackingError

if TYPE_CHECKING:
    import polars as pl
    from torch import nn

    from tabstudio.model.predictor import Model
    from tabstudio.table.schema import Label
    from tabstudio.tracking import Run

EXAMPLE_ROWS = 5


def log_model(
    model: nn.Module,
    *,
    preprocessor: Any = None,
    columns: Sequence[str] | None = None,
    classes: Any = None,
    answers: str | None = None,
    target: str = "target",
    positive: Label | None = None,
    threshold: float | None = None,
    input_example: Any = None,
    metrics: Mapping[str, float] | None = None,
    registered_model_name: str | None = None,
    name: str = "pipeline",
) -> Model:
    """Log a network with its fitted preprocessing as one model of raw rows.

    It is a bundle of data: no pickle, no code. `tabstudio.load` and `mlflow.pyfunc.load_model` predict labels
    and probabilities with it. It goes into the current run, or into one of its own where nothing is watched.

    Parameters
    ----------
    model : torch.nn.Module
        Maps float32 (rows, inputs) to (rows, outputs) or (rows,). It is stored in evaluation mode, as a
        graph of PyTorch's operators; it is not changed.
    preprocessor : transformer, optional
        A fitted transformer of scikit-learn, see `tabstudio.model.sklearn_import`; None: columns go in as
        they are.
    columns : sequence of str, optional
        Names of the raw columns in order, where the preprocessor was fitted on an array.
    classes : sequence or LabelEncoder, optional
        Labels in the order of the outputs, or the fitted encoder; None makes it a regression.
    answers : {"logits", "probabilities"}, optional
        What the network gives; by default what its last operator says.
    target : str
        Name of the label.
    positive : label, optional
        The class of interest; by default the second.
    threshold : float, optional
        The probability from which on the class of interest is called.
    input_example : frame or array, optional
        Raw rows, best the training rows: a few are kept as MLflow's example, all make the reference profile.
    metrics : mapping of str to float, optional
        Figures that are linked to the model.
    registered_model_name : str, optional
        Register a version of this name.
    name : str
        What the model is called in the run: `tabstudio.load(f"runs:/{run_id}/{name}")`.

    Returns
    -------
    Model
        The model of raw rows, as `tabstudio.load` gives it.

    Raises
    ------
    ModelError
        Says what cannot be kept as data, and what to do instead.
    ConfigError
        The name cannot be registered.
    TrackingError
        A run of its own was recorded, but MLflow has not got it.

    Examples
    --------
    >>> tabstudio.log_model(network, preprocessor=scaler, classes=["no", "yes"])  # doctest: +SKIP
    """
    from tabstudio.model.from_torch import model_from_torch

    session = current_session()
    with nullcontext() if session is None else session.unwatched():
        whole = model_from_torch(
            model,
            preprocessor=preprocessor,
            columns=columns,
            classes=classes,
            answers=answers,
            target=target,
            positive=positive,
            threshold=threshold,
            rows=input_example,
        )

    def record(run: Run) -> None:
        with TemporaryDirectory(prefix="tabstudio-") as scratch:
            run.model(
                whole.save(Path(scratch) / "bundle"),
                whole.schema,
                _example(whole, input_example, columns),
                registered_name=registered_model_name,
                metrics=metrics,
                card=_card(whole),
                tags={"tabstudio.task": whole.target.task},
                name=name,
            )

    if session is None:
        _alone(record, registered_model_name or name)
    elif session.here:
        record(session.run)
        session.tell("model_logged", model, preprocessor, registered_model_name is not None)
    return whole


def _alone(record: Callable[[Run], object], name: str) -> None:
    from tabstudio.tracking import Recorder

    with Recorder() as recorder:
        with recorder.start(run_name=name) as run:
            record(run)
        delivery = recorder.wait()
    if not (delivery.complete or delivery.postponed):
        raise TrackingError(str(delivery))


def _example(whole: Model, rows: object, columns: Sequence[str] | None) -> pl.DataFrame | None:
    if rows is None:
        return None
    from tabstudio.model.from_torch import named
    from tabstudio.table import conform

    return conform(named(rows, columns), whole.schema).head(EXAMPLE_ROWS)


def _card(whole: Model) -> str:
    features = len(whole.schema.features)
    how = "Load it with `tabstudio.load` or `mlflow.pyfunc.load_model`."
    return f"Takes {features} raw columns. {how}\n\n{whole!r}"
