"""Fixtures that several rooms share. Threads are bounded before torch or BLAS can start any."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator

from .budget import pytest_addoption, pytest_configure  # noqa: F401 - pytest looks for them here
from .once import BEGAN_HERE, FOLDER, shared_once

os.environ["XDG_CACHE_HOME"] = str(FOLDER / "cache")  # nothing is written into the user's own cache
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for _name in (
    "TABSTUDIO_DATABASE_URL",
    "TABSTUDIO_DELIVERY",
    "TABSTUDIO_ACTOR",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
):
    os.environ.pop(_name, None)

from pathlib import Path

import pytest

REAL_TABLES = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_tables() -> Path:
    """The folder of real tables beside the checkout; tests that need it are skipped where it is missing."""
    if not (REAL_TABLES / "INDEX.csv").exists():
        pytest.skip(f"the folder of real tables is missing: {REAL_TABLES}")
    return REAL_TABLES


@pytest.fixture(scope="session")
def cancer_csv() -> Path:
    """The Wisconsin breast-cancer table, 569 rows, `diagnosis` of benign or malignant."""
    return shared_once("cancer", _write_cancer)[0] / CANCER


CANCER = "cancer_classification.csv"


def _write_cancer(folder: Path) -> None:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    lines = [",".join([*data.feature_names, "diagnosis"])]
    words = ("malignant", "benign")
    for row, label in zip(data.data, data.target, strict=True):
        lines.append(",".join([*(repr(float(v)) for v in row), words[label]]))
    (folder / CANCER).write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def empty_mlflow() -> Path:
    """An MLflow database that holds nothing: to be copied, since making one takes a second."""
    return shared_once("mlflow", _make_mlflow)[0] / "mlflow.db"


def _make_mlflow(folder: Path) -> None:
    code = (
        f"from mlflow import MlflowClient; MlflowClient('sqlite:///{folder}/mlflow.db').search_experiments()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, capture_output=True)


@pytest.fixture(autouse=True)
def _own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Every test works in an empty folder of its own: nothing is written beside the code.

    What it or MLflow puts into the environment is gone after it. What it tracks stays in the spool, without a
    process that brings it to MLflow, unless the test is marked with `delivers`.
    """
    monkeypatch.chdir(tmp_path)
    if request.node.get_closest_marker("delivers") is None:
        monkeypatch.setenv("TABSTUDIO_DELIVERY", "later")
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        if name.startswith("MLFLOW_"):
            del os.environ[name]


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The address of a new, empty PostgreSQL database."""
    import psycopg

    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{postgres_server}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The address of the run's own PostgreSQL server, without the name of a database."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed in /usr/lib/postgresql")
    return shared_once("postgres", _start_postgres)[1]


POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _postgres(tool: str, *arguments: str) -> None:
    # The server refuses to run as root; its package brings a user for it.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*prefix, str(POSTGRES[-1] / tool), "-D", str(FOLDER / "postgres" / "data"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _start_postgres(folder: Path) -> str:
    FOLDER.chmod(0o755)
    folder.chmod(0o777)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _postgres("initdb", "-U", "tester", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    _postgres("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    return f"postgresql://tester@127.0.0.1:{port}"


def pytest_unconfigure() -> None:
    """End the PostgreSQL server that a worker of this run has started."""
    if BEGAN_HERE and (FOLDER / "postgres" / "data" / "postmaster.pid").exists():
        _postgres("pg_ctl", "-m", "immediate", "stop")
