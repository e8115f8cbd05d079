"""What users import: the exported names, and how little it takes to import them."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import tabstudio

PUBLIC = {
    "AccessError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "DatabaseError",
    "GateError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "Registry",
    "RegistryError",
    "TabstudioError",
    "TabularClassifier",
    "TabularRegressor",
    "TrackingError",
    "TrainConfig",
    "TrainingError",
    "__version__",
    "autolog",
    "card",
    "check",
    "compare",
    "configure",
    "explore",
    "export",
    "load",
    "log_model",
    "prediction_log",
    "read",
    "reproduce",
    "score",
    "split",
    "sweep",
    "train",
}
HEAVY = ("torch", "sklearn", "scipy", "pandas", "mlflow", "matplotlib", "sqlalchemy", "alembic")


def loaded_after(code):
    probe = f"{code}\nimport sys; print(' '.join(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_exported_names_are_these():
    assert set(tabstudio.__all__) == PUBLIC
    assert tabstudio.__all__ == sorted(tabstudio.__all__)
    assert set(dir(tabstudio)) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_exported_name_is_there(name):
    value = getattr(tabstudio, name)
    assert name == "__version__" or value.__doc__


def test_functions_are_not_hidden_by_rooms_of_their_name():
    code = "import tabstudio.recipes, tabstudio.cli.app, tabstudio; assert callable(tabstudio.explore)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        tabstudio.trian  # noqa: B018


@pytest.mark.parametrize("code", ["import tabstudio", "import tabstudio.table", "import tabstudio.cli.app"])
def test_imports_stay_light(code):
    assert loaded_after(code) == []


@pytest.mark.parametrize("name", [n for n in tabstudio.__all__ if inspect.isfunction(getattr(tabstudio, n))])
def test_a_public_function_documents_each_parameter_what_it_returns_and_an_example(name):
    function = getattr(tabstudio, name)
    docstring = inspect.getdoc(function)
    parameters = re.search(r"^Parameters\n-+\n(.*?)(?:\n\n\w+\n-+\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
    entries = re.findall(r"^(\S.*?)(?: : .*)?$", parameters[1], re.MULTILINE)
    documented = {word.lstrip("*") for entry in entries for word in entry.split(", ")}
    assert documented == set(inspect.signature(function).parameters)
    assert "\nExamples\n---" in docstring
    if function.__annotations__["return"] not in (None, "None"):
        assert "\nReturns\n---" in docstring
