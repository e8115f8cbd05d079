"""Fixtures that several rooms share. Threads are bounded before torch or BLAS can start any."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator

_cache = tempfile.TemporaryDirectory(prefix="tabstudio-tests-")
os.environ["XDG_CACHE_HOME"] = _cache.name  # nothing is written into the user's own cache
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for _name in (
    "TABSTUDIO_DATABASE_URL",
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
def cancer_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Wisconsin breast-cancer table, 569 rows, `diagnosis` of benign or malignant."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    path = tmp_path_factory.mktemp("cancer") / "cancer_classification.csv"
    lines = [",".join([*data.feature_names, "diagnosis"])]
    words = ("malignant", "benign")
    for row, label in zip(data.data, data.target, strict=True):
        lines.append(",".join([*(repr(float(v)) for v in row), words[label]]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test works in an empty folder of its own: nothing is written beside the code.

    What it or MLflow puts into the environment is gone after it.
    """
    monkeypatch.chdir(tmp_path)
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
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, without the name of a database."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("PostgreSQL is not installed in /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="tabstudio-postgres-"))
    folder.chmod(0o777)
    data, tools = folder / "data", binaries[-1]
    # The server refuses to run as root; its package brings a user for it.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def call(tool: str, *arguments: str) -> None:
        command = [*prefix, str(tools / tool), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    call("initdb", "-D", str(data), "-U", "tester", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    call("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield f"postgresql://tester@127.0.0.1:{port}"
    call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)
