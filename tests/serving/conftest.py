"""A model of each task over columns of every kind, and an application around it."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
import torch

from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.model.predictor import Model
from tabstudio.model.profile import profile
from tabstudio.options import NetworkConfig
from tabstudio.serving import runtime
from tabstudio.serving.app import App
from tabstudio.serving.batching import BatchQueue, Endpoint
from tabstudio.serving.request_hooks import ServingHooks
from tabstudio.serving.serve_options import Bounds, ServedModel, ServeOptions
from tabstudio.table import Table, read

TARGETS = {"binary": "ill", "multiclass": "grade", "regression": "price"}


def made(count: int = 400) -> pl.DataFrame:
    """Numbers with and without gaps, truth, words, codes, days, times, texts, and three targets."""
    rng = np.random.default_rng(5)
    weight = rng.normal(70, 12, count)
    days = [dt.date(2014, 1, 1) + dt.timedelta(int(day)) for day in rng.integers(0, 900, count)]
    words = ["the", "dog", "ran", "from", "a", "red", "house", "near", "river", "bank"]
    return pl.DataFrame(
        {
            "age": rng.integers(18, 90, count),
            "weight: kg": pl.Series(weight).set(pl.Series(np.arange(count) % 11 == 0), None),
            "smoker": rng.random(count) < 0.3,
            "city": pl.Series(rng.choice(["Rome", "Oslo", "Lima"], count)).set(
                pl.Series(np.arange(count) % 17 == 0), None
            ),
            "ward": rng.choice(["1", "2", "x"], count),
            "seen": [day.strftime("%d.%m.%Y") for day in days],
            "at": [f"2020-03-{1 + i % 28:02d} {i % 24:02d}:30" for i in range(count)],
            "note": [" ".join(rng.choice(words, 6)) for _ in range(count)],
            "ill": np.where(weight + rng.normal(0, 8, count) > 70, "yes", "no"),
            "grade": rng.integers(1, 4, count),
            "price": rng.normal(100, 20, count),
        }
    )


@pytest.fixture(scope="session")
def frame() -> pl.DataFrame:
    return made()


@pytest.fixture(scope="session")
def make_model(frame: pl.DataFrame) -> Callable[..., Model]:
    def make(
        task: str = "binary",
        network: str = "tabular",
        members: int = 3,
        seed: int = 1,
        activation: str = "silu",
        columns: list[str] | None = None,
        scaling: Any = "robust",
        **options: Any,
    ) -> Model:
        target = TARGETS[task]
        others = [name for name in TARGETS.values() if name != target]
        kept = frame.drop(others) if columns is None else frame.select([*columns, target])
        table: Table = read(kept, target=target)
        encoder = Encoder.fit(table.frame, table.schema, scaling)
        config = NetworkConfig(network, (24, 16), 0.1, activation)
        assert table.schema.target is not None
        outputs = table.schema.target.outputs
        spec = NetworkSpec(network, encoder.numbers, encoder.cardinalities, outputs, config)
        pack = build(spec, list(range(members)))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weights in pack.parameters():
                weights.add_(torch.randn(weights.shape, generator=generator) * 0.2)
        head = OutputHead(table.schema.target, **options)
        return Model(table.schema, encoder, pack, head, profile=profile(table.frame, table.schema))

    return make


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model(temperature=1.3, threshold=0.4)


@pytest.fixture
def rows(frame: pl.DataFrame, model: Model) -> list[dict[str, Any]]:
    """Raw rows of the table, as a client sends them."""
    return frame.select([column.name for column in model.schema.features]).to_dicts()


class Asking:
    """An application in this process, asked over ASGI; `records` are what it told its recorders."""

    def __init__(self, app: App, records: list[Any]) -> None:
        self.app, self.records = app, records

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request and its answer."""
        return asyncio.run(self._request(method, path, options))

    async def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        """POST JSON, or `content`."""
        return self.request("POST", path, **({"json": json} if json is not None else {}), **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **options)


@contextmanager
def in_process(models: dict[str, Model], folder: Path, **bounds: Any) -> Iterator[Asking]:
    """Models served by an application without sockets; and the records of what it answered."""
    records: list[Any] = []
    with ThreadPoolExecutor(2) as pool:
        endpoints = {}
        for name, model in models.items():
            ready = runtime.load(model.save(folder / name), name, "1")
            endpoints[name] = Endpoint(name, BatchQueue(ready, "live", pool))
        options = ServeOptions(tuple(ServedModel(name, str(folder / name)) for name in models))
        options = replace(options, hosts=("testserver",), bounds=Bounds(**bounds))

        async def reload(name: str) -> dict[str, Any]:
            return {"error": "" if name != "broken" else "it is broken"}

        app = App(endpoints, options, ServingHooks(recorders=(records.append,)), pool, reload)
        yield Asking(app, records)


@pytest.fixture
def asking(model: Model, tmp_path: Path) -> Iterator[Asking]:
    with in_process({"ills": model}, tmp_path) as made:
        yield made


@contextmanager
def server(*words: str, log: Path) -> Iterator[tuple[str, int]]:
    """Run `tabstudio serve` on a free port; yield its address and process id. It must end well on SIGTERM."""
    command = [sys.executable, "-m", "tabstudio", "serve", *words, "--port", "0", "--no-log"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        yield _address(process, log), process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if line.startswith("serving at "):
                return line.split()[2].rstrip(",")
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {log.read_text()}")
