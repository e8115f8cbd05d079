"""The container files are well formed, name only what exists, and give the service no more than it needs.

No engine runs here: the files are parsed, and their commands held against the command line itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tabstudio.cli.app import build_app
from tabstudio.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICE = COMPOSE["services"]["model"]
WORDS = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
WORDS |= {"ENTRYPOINT", "CMD"}


def instructions():
    """(instruction, its words) of the Dockerfile, continued lines joined."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def of(instruction):
    return [words for name, words in instructions() if name == instruction]


def parsed(words):
    """The parameters that `tabstudio` makes of a command's words; raises where it would not take them."""
    command = build_app(words[:1]).commands[words[0]]
    return command.make_context(words[0], list(words[1:])).params


def test_every_line_is_an_instruction_and_every_file_copied_exists():
    assert {name for name, _ in instructions()} <= WORDS
    assert instructions()[0][0] == "FROM"
    for words in of("COPY"):
        parts = words.split()
        if not parts[0].startswith("--from="):
            assert [part for part in parts[:-1] if not (ROOT / part).exists()] == []


def test_only_what_the_build_needs_is_sent_to_it():
    kept = {
        line[1:]
        for line in (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {part for words in of("COPY") if "--from" not in words for part in words.split()[:-1]}
    assert kept == copied


def test_the_service_is_not_root_and_its_settings_exist():
    names = [name for name, _ in instructions()]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert int(of("USER")[-1]) > 0
    settings = {word.split("=")[0] for words in of("ENV") for word in words.split()}
    assert {name for name in settings if name.startswith("TABSTUDIO")} <= {s.name for s in SETTINGS}


@pytest.mark.parametrize("words", [json.loads(of("CMD")[-1]), SERVICE["command"]], ids=["image", "compose"])
def test_commands_are_those_of_the_command_line(words):
    assert json.loads(of("ENTRYPOINT")[-1]) == ["tabstudio"]
    parameters = parsed(words)
    assert parameters["host"] == "0.0.0.0"
    assert parameters["models"] == ["model=/model"]
    assert str(parameters["port"]) in of("EXPOSE")[-1]


def test_the_health_check_is_a_program():
    (check,) = of("HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    compile(command[-1], "HEALTHCHECK", "exec")
    assert ":8000/health" in command[-1]


def test_compose_gives_no_more_than_is_needed():
    assert SERVICE["read_only"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICE["ports"])
    assert set(SERVICE["secrets"]) == set(COMPOSE["secrets"])
    named = [volume.split(":")[0] for volume in SERVICE["volumes"] if not volume.startswith(".")]
    assert set(named) == set(COMPOSE["volumes"])
    (token,) = SERVICE["secrets"]
    assert f"TABSTUDIO_SERVE_TOKENS=/run/secrets/{token}" in of("ENV")[-1]
    assert (ROOT / "deploy" / SERVICE["build"]["context"]).resolve() == ROOT
    assert (ROOT / SERVICE["build"]["dockerfile"]) == DOCKERFILE


def test_an_engine_takes_the_compose_file():
    tool = shutil.which("docker")
    if not tool or subprocess.run([tool, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    command = [tool, "compose", "-f", str(ROOT / "deploy" / "compose.yaml"), "config", "--quiet"]
    subprocess.run(command, check=True)
