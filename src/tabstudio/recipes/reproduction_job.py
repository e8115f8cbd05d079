"""Trains a model again as its bundle records it, and compares the two bit by bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tabstudio.errors import ConfigError, ModelError
from tabstudio.recipes import provenance, tutorial
from tabstudio.recipes.deviations import deviations
from tabstudio.recipes.pipeline import PreparedData, TrainJob, distil, fit_model, measure, prepare
from tabstudio.recipes.reporter import Reporter
from tabstudio.recipes.reproduction import Check, Reproduction
from tabstudio.registry.compared_model import ComparedModel
from tabstudio.registry.model_addresses import resolve

if TYPE_CHECKING:
    from tabstudio.model.bundle import BundleRecord
    from tabstudio.recipes.fit import NetworkFactory

_Noting = Callable[[str, Mapping[str, object]], object]
_NOT_OURS = ("commit", "platform")
"""Told, but no reason for another bit: the commit is the user's own repository's."""


def reproduce(
    address: str | Path,
    *,
    data: str | Path | None = None,
    network: NetworkFactory | None = None,
    record: bool = False,
    reporter: Reporter | None = None,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
) -> Reproduction:
    """Train the model of an address again, with its own rows and configuration, and compare them bit by bit.

    The number of threads, and the device where it is here, are set as they were. Nothing is tracked and
    nothing registered.

    Parameters
    ----------
    address : str or path
        `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `runs:/ID/model` or a folder.
    data : path, optional
        Where the table lies now, if it has moved.
    network : callable, optional
        The factory of a model that was trained with one.
    record : bool
        Note the outcome in the version's history, which the gate `reproduces` asks for.
    reporter : Reporter, optional
        Is told each step and each epoch.
    tracking_uri, registry_uri : str, optional
        MLflow's addresses; by default as MLflow's own settings say.

    Returns
    -------
    Reproduction
        What was checked, and everything that came out different.

    Raises
    ------
    DataError
        The table is gone, or its content changed.
    ModelError
        The model does not say how it was made.
    ConfigError
        `record` was asked for without a registered version.

    Examples
    --------
    >>> tabstudio.reproduce("models:/cancer/1").identical  # doctest: +SKIP
    """
    started = time.monotonic()
    if record:
        with _registered(str(address), tracking_uri, registry_uri):
            pass  # refused before the work, where there is nothing to note it on
    folder = resolve(address, tracking_uri=tracking_uri, registry_uri=registry_uri)
    side = ComparedModel(str(address), folder, network)
    recorded_environment = side.record.report.get("environment")
    if not recorded_environment:
        raise ModelError(f"model {address}: its bundle does not say what it was made with: train it again")
    if side.record.network["spec"] is None and network is None:
        raise ModelError(
            f"model {address}: it is of a network of your own, {side.record.network['factory']}: hand its "
            "factory over, tabstudio.reproduce(address, network=factory)"
        )
    if side.config.search.search and _ended_by(side) == "minutes":
        raise ModelError(
            f"model {address}: --minutes cut off some trials of its search, which cannot be cut off at the "
            "same moment again; a search by --trials can be made again"
        )
    with _threads(recorded_environment["threads"]):
        again, checks = _again(side, data, recorded_environment, reporter or Reporter())
    differences = deviations(side.record, again)
    seconds = time.monotonic() - started
    reproduction = Reproduction(str(address), side.record.digest, checks, differences, seconds)
    if record:
        with _registered(str(address), tracking_uri, registry_uri) as note:
            note(reproduction.sentence, reproduction.facts())
    return reproduction


def _again(
    side: ComparedModel, data: str | Path | None, recorded_environment: Mapping[str, Any], reporter: Reporter
) -> tuple[BundleRecord, tuple[Check, ...]]:
    """Return the model, trained again, and the checks of its inputs."""
    job = _job(side, data, recorded_environment, reporter)
    prepared = prepare(job, side.table(data))
    reporter.step("the table is the one that it was trained on; training again")
    fitted = fit_model(job, prepared, reporter.epoch)
    if job.config.training.distill:
        fitted = distil(job, prepared, fitted)
    now = provenance.environment(fitted.outcome.plan.device, fitted.outcome.plan.precision)
    checks = (
        _table_check(side, prepared),
        *_time_check(side),
        *_environment_checks(recorded_environment, now),
    )
    measured = measure(job, prepared, fitted)
    model = fitted.model
    model.evidence = prepared.evidence(measured.prediction)
    model.report = {
        "test": measured.test.to_json(),
        "validation": measured.validation.to_json() if measured.validation else None,
        "slices": [part.to_json() for part in measured.slices],
    }
    with TemporaryDirectory(prefix="tabstudio-") as scratch:
        from tabstudio.model.bundle import record

        return record(model.save(Path(scratch) / "model")), checks


def _job(
    side: ComparedModel, data: str | Path | None, recorded_environment: Mapping[str, Any], reporter: Reporter
) -> TrainJob:
    """The training as it was asked for, with what was left open settled as it was.

    Where time has decided something, the configuration says what, and the time is no bound any more.
    """
    config, report = side.config, side.record.report
    training = replace(config.training, seed=int(report["training"]["seed"]))
    if not training.distill:  # the ensemble's may have been another than that of the network which is left
        training = replace(training, precision=recorded_environment["precision"])
    if _ended_by(side) != "minutes":
        training = replace(training, minutes=None)
    if _usable(recorded_environment["device"]):
        training = replace(training, device=recorded_environment["device"])
    config = replace(config, training=training)
    if config.recipe == "tutorial":
        config = tutorial.apply(config)
    source, given = str(data or side.data["source"]), frozenset(report.get("given", ()))
    return TrainJob(source, side.target.name, side.address, config, side.network, reporter, given=given)


def _ended_by(side: ComparedModel) -> str:
    return str(side.record.report["training"]["ended by"])


def _usable(device: str) -> bool:
    import torch

    return device == "cpu" or (device.startswith("cuda") and torch.cuda.is_available())


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """As many threads as then: sums are cut up by them, and other parts round otherwise."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _table_check(side: ComparedModel, data: PreparedData) -> Check:
    recorded, now = str(side.data["fingerprint"]), data.table.fingerprint
    return Check("table", f"blake3 {recorded[:16]}", f"blake3 {now[:16]}", recorded == now)


def _time_check(side: ComparedModel) -> Iterator[Check]:
    """A training that the clock or a person ended cannot be ended at the same moment again."""
    ended = _ended_by(side)
    if ended in ("minutes", "interrupted"):
        yield Check("ended by", ended, "another moment", same=False)


def _environment_checks(
    recorded_environment: Mapping[str, object], now: Mapping[str, object]
) -> Iterator[Check]:
    for name, recorded in recorded_environment.items():
        current = now.get(name, "")
        if str(recorded) or str(current):
            yield Check(name, str(recorded), str(current), recorded == current or name in _NOT_OURS)


@contextmanager
def _registered(address: str, tracking_uri: str | None, registry_uri: str | None) -> Iterator[_Noting]:
    """What notes a finding in the history of the version that an address names.

    Raises `ConfigError` where it names no version.
    """
    from tabstudio.registry.model_addresses import AddressResolver
    from tabstudio.registry.registry import Registry

    hint = f"option record: only a registered version has a history, models:/NAME/VERSION; {address} is none"
    if not address.startswith("models:"):
        raise ConfigError(hint)
    with Registry(tracking_uri=tracking_uri, registry_uri=registry_uri) as registry:
        version = AddressResolver(address, registry.client).version()
        if version is None:
            raise ConfigError(hint)
        yield partial(registry.note, registry.version(version.name, version.version))
