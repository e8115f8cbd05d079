"""A team: PostgreSQL for MLflow and for us, artifacts in S3, an MLflow server, a studio, several people."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from .conftest import Running, start_studio
from .people import browser, people, program, tabstudio

BUCKET = "team-artifacts"
RULES = "[registry.stages.production]\napprovals = 1\n"


@dataclass
class Team:
    """What the people of a team share."""

    folder: Path
    studio: Running
    tokens: dict[str, str]
    settings: dict[str, str]
    keys: list[str]

    def command(self, *words: str, who: str | None = None) -> str:
        """Run a command: on the machine that trains, or as somebody who has the studio's address alone."""
        afar = {} if who is None else {"TABSTUDIO_URL": self.studio.url, "TABSTUDIO_TOKEN": self.tokens[who]}
        done = tabstudio(self.folder, *words, **(afar or self.settings))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, object]]:
    """An S3 server of our own, with an empty bucket."""
    server_module = pytest.importorskip("moto.server", reason="moto's server needs flask and flask-cors")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
    )
    client.create_bucket(Bucket=BUCKET)
    yield url, client
    client.close()
    server.stop()


@contextmanager
def mlflow_server(folder: Path, database: str, settings: dict[str, str]) -> Iterator[str]:
    """MLflow's server as docs/how-to/team.md starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--workers",
        "1",
        "--backend-store-uri",
        database.replace("postgresql:", "postgresql+psycopg:"),
    ]
    command += ["--artifacts-destination", f"s3://{BUCKET}/mlflow"]
    command += ["--allowed-hosts", f"127.0.0.1:{port}"]
    log = folder / "mlflow.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=settings, stdout=output, stderr=output, start_new_session=True
        )
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            try:
                httpx.get(f"{url}/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@pytest.fixture(scope="module")
def team(tmp_path_factory, postgres_server, s3, cancer_csv) -> Iterator[Team]:
    """All of it, with a model that was trained through it."""
    import psycopg

    for name in ("team_mlflow", "team_tabstudio"):
        with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    folder = tmp_path_factory.mktemp("team")
    (folder / "tabstudio.toml").write_text(RULES)
    endpoint, bucket = s3
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "TABSTUDIO_", "AWS_"))}
    stored = {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with mlflow_server(folder, f"{postgres_server}/team_mlflow", plain | stored) as url:
        settings = {
            "MLFLOW_TRACKING_URI": url,
            "TABSTUDIO_DATABASE_URL": f"{postgres_server}/team_tabstudio",
        }
        tokens = people(folder, **settings)
        quick = ["--epochs", "3", "--hidden", "8", "--network", "mlp"]
        done = tabstudio(
            folder, "train", str(cancer_csv), "--target", "diagnosis", "--name", "cancer", *quick, **settings
        )
        assert done.returncode == 0, done.stderr
        studio = start_studio(folder, **settings)
        listed = bucket.list_objects_v2(Bucket=BUCKET)
        yield Team(folder, studio, tokens, settings, [found["Key"] for found in listed["Contents"]])
        studio.stop()


def test_what_was_trained_lies_in_the_bucket_and_the_two_databases(team, postgres_server):
    import psycopg

    assert any(key.endswith("weights.safetensors") for key in team.keys)
    assert not (team.folder / "mlruns").exists()
    assert not list(team.folder.glob("*.db"))
    with psycopg.connect(f"{postgres_server}/team_mlflow") as connection:
        assert connection.execute("SELECT count(*) FROM model_versions").fetchone() == (1,)
    with psycopg.connect(f"{postgres_server}/team_tabstudio") as connection:
        assert connection.execute("SELECT count(*) FROM tabstudio_users").fetchone() == (4,)


def test_two_people_bring_a_version_into_production(team):
    why = ["--to", "production", "-r", "better on every slice"]
    assert "1 to agree" in team.command("request", "cancer", "1", *why, who="ed")
    with program(team.studio.url, team.tokens["ed"]) as ed:
        answer = ed.post("/models/cancer/versions/1/approve", json={})
        assert answer.json()["error"]["message"].startswith("ed is editor here")
    assert "it may go there now" in team.command("approve", "cancer", "1", who="carol")
    assert "models:/cancer@production is version 1 now" in team.command(
        "promote", "cancer", "1", *why, who="ed"
    )
    told = team.command("history", "cancer")  # in the databases themselves, as on the machine that trains
    for words in ("ed", "carol", "approve", "better on every slice"):
        assert words in told
    assert "are as they were written" in team.command("history", "cancer", "--verify", who="vera")


def test_the_model_is_fetched_from_the_bucket_and_judged(team):
    assert "all gates passed" in team.command("gates", "cancer", "1", "--to", "production", who="vera")
    assert "# " in team.command("card", "models:/cancer@production", who="vera")


def test_the_pages_show_it_and_lead_to_mlflow(team):
    with browser(team.studio.url, "vera") as vera:
        page = vera.get("/monitor").text
        assert team.settings["MLFLOW_TRACKING_URI"] in page
        assert vera.get("/monitor/cancer").status_code == 200
    with program(team.studio.url, team.tokens["vera"]) as vera:
        (run,) = vera.get("/runs").json()["runs"]
        assert run["status"] == "FINISHED"
        assert vera.get(f"/runs/{run['id']}/metrics/val_loss").json()["points"]
