"""The examples in docstrings say what is so."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import tabstudio

SOURCE = Path(tabstudio.__file__).parent
WITH_EXAMPLES = [
    ".".join(("tabstudio", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(name)
    examples = [example for test in doctest.DocTestFinder().find(module) for example in test.examples]
    assert examples
    run = sum(not example.options.get(doctest.SKIP, False) for example in examples)
    result = doctest.testmod(module)
    assert (result.attempted, result.failed) == (run, 0)
