"""`tabstudio run`: the script notices nothing, and MLflow has everything."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT.parent / "shared" / "tutorial"
LOOP = """
import torch
torch.manual_seed(1)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
rows = torch.randn(20, 2)
for epoch in range(3):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(rows), rows[:, :1])
    loss.backward()
    optimizer.step()
    print(loss.item())
"""


def command(*words):
    return [sys.executable, "-m", "tabstudio", "run", *words]


def run(*words, **options):
    return subprocess.run(
        command(*words), capture_output=True, text=True, check=False, timeout=240, **options
    )


def client(folder=Path()):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder.absolute()}/mlflow.db")


def only_run(folder=Path()):
    found = client(folder).search_runs([e.experiment_id for e in client(folder).search_experiments()])
    assert len(found) == 1
    return found[0]


def artifacts(run):
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}


def history(run, name):
    return [(m.step, m.value) for m in client().get_metric_history(run.info.run_id, name)]


SAME = """
import sys, os, pickle, atexit
print(sys.argv, __name__, __file__, sys.path[0] == os.path.dirname(os.path.abspath(__file__)))
print(sys.modules["__main__"].__dict__ is globals(), __spec__, sorted(n for n in dir() if n[0] == "_"))
class Thing: pass
print(type(pickle.loads(pickle.dumps(Thing()))) is Thing, os.environ.get("OMP_WAIT_POLICY"))
import neighbour
atexit.register(print, "at the end")
class Last:
    def __del__(self): print("gone")
last = Last()
left_open = open("left-open.txt", "w")
left_open.write("not flushed by the script")
"""


def test_a_script_finds_the_world_as_under_python():
    Path("sub").mkdir()
    Path("sub/train.py").write_text(SAME)
    Path("sub/neighbour.py").write_text("print('neighbour', __name__)")
    words = ["sub/train.py", "--epochs", "3", "--debug", "--help", "x y"]
    plain = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    Path("left-open.txt").unlink()
    seen = run(*words)
    assert (seen.returncode, seen.stdout) == (0, plain.stdout)
    assert seen.stderr == "tabstudio: nothing was trained and no figure shown: no run was kept\n"
    assert Path("left-open.txt").read_text() == "not flushed by the script"
    assert not Path("mlflow.db").exists()


CHAINED = """
def f():
    raise ValueError('ünd')
try:
    f()
except ValueError as error:
    raise KeyError(1) from error
"""


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("import sys; sys.exit(7)", 7),
        ("import sys; sys.exit('some words')", 1),
        (CHAINED, 1),
        ("import json\njson.loads('{')", 1),
        ("x = (", 1),
        ("raise SystemExit", 0),
    ],
)
def test_exit_codes_and_tracebacks_are_pythons(code, exit_code):
    Path("train.py").write_text(code)
    plain = subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, check=False)
    seen = run("train.py")
    told = seen.stderr.replace("tabstudio: nothing was trained and no figure shown: no run was kept\n", "")
    assert (seen.returncode, seen.stdout, told) == (exit_code, plain.stdout, plain.stderr)
    assert plain.returncode == exit_code


def test_a_missing_script_is_told_with_its_neighbours():
    Path("train.py").write_text("")
    seen = run("trian.py")
    assert seen.returncode == 2
    assert "run trian.py: a Python script or a notebook was expected, there is no such file" in seen.stderr
    assert seen.stderr.endswith("; there is train.py\n")


@pytest.mark.delivers
def test_an_exception_fails_the_run_with_the_traceback_and_what_was_printed():
    Path("train.py").write_text(LOOP + "\nraise RuntimeError('out of luck')\n")
    seen = run("train.py", "--lr", "1")
    assert seen.returncode == 1
    done = only_run()
    kept = artifacts(done)
    assert done.info.status == "FAILED"
    assert kept["output/stdout.txt"].read_text() == seen.stdout
    assert [value for _, value in history(done, "train_loss")] == [float(v) for v in seen.stdout.split()]
    trace = kept["error/error.txt"].read_text()
    assert trace in seen.stderr
    assert "tabstudio" not in trace
    assert '/train.py", line' in trace
    assert trace in kept["output/stderr.txt"].read_text()
    assert kept["source/train.py"].read_text() == Path("train.py").read_text()
    assert done.data.tags["mlflow.source.name"] == "train.py --lr 1"


@pytest.mark.delivers
def test_ctrl_c_kills_the_run_and_the_process_dies_of_it():
    Path("train.py").write_text(LOOP + "\nimport time\nprint('waiting', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        command("train.py"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in process.stdout:
        if line == "waiting\n":
            break
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    done = only_run()
    assert done.info.status == "KILLED"
    assert len(history(done, "train_loss")) == 3


SPAWNING = """
import multiprocessing, sys
def work(number):
    exec(LOOP)
    return number * 2
LOOP = %r
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(work, [1, 2]))
"""


def test_spawned_workers_of_a_script_work_and_log_nothing():
    Path("train.py").write_text(SPAWNING % LOOP.replace("print(loss.item())", "pass"))
    seen = run("train.py")
    assert (seen.returncode, seen.stdout) == (0, "[2, 4]\n")
    assert not Path("mlflow.db").exists()


@pytest.mark.delivers
def test_a_figure_alone_is_worth_a_run_under_any_backend():
    Path("look.py").write_text(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('Look')\nplt.show()\n"
    )
    seen = run("look.py", env={**os.environ, "MPLBACKEND": "Agg"})
    assert seen.stderr.startswith("tabstudio: MLflow has run ")
    assert "figures/look.png" in artifacts(only_run())


def blocks():
    texts = sorted(TUTORIAL.glob("*.txt"))
    if not texts:
        pytest.skip(f"the tutorial's text is missing: {TUTORIAL}")
    found = re.findall(r"```python\n(.*?)```", texts[0].read_text(encoding="utf-8"), re.DOTALL)
    return "\n".join(found)


@pytest.mark.delivers
def test_the_tutorials_script_as_it_is(tmp_path, monkeypatch):
    import mlflow
    import numpy as np
    import torch

    from tabstudio.recipes.demo import write_cancer_table

    code = blocks()
    for name in ("data", "work"):
        (tmp_path / name).mkdir()
    write_cancer_table(tmp_path / "data" / "cancer_classification.csv")
    monkeypatch.chdir(tmp_path / "work")
    weights = (
        "\nimport numpy, os; numpy.savez('seen.npz', x=X_test, y=torch.sigmoid(model(val_inputs)).detach())\n"
    )
    Path("train.py").write_text(code + weights)
    seen = run("train.py")
    assert seen.returncode == 0, seen.stderr
    done = only_run()
    assert done.info.status == "FINISHED"
    assert len(done.data.params) >= 20
    printed = re.findall(r"Epoch \[(\d+)/50\], Loss: ([\d.]+), Val Loss: ([\d.]+)", seen.stdout)
    assert len(printed) == 50
    for name, place in (("train_loss", 1), ("val_loss", 2)):
        assert [(step, f"{value:.4f}") for step, value in history(done, name)] == [
            (int(line[0]), line[place]) for line in printed
        ]
    kept = artifacts(done)
    assert sum(name.startswith("figures/") for name in kept) == code.count("plt.show()") == 3
    assert kept["scores/classification_report.txt"].read_text() in seen.stdout
    assert {"scores/confusion_matrix.png", "scores/confusion_matrix.txt", "source/train.py"} <= set(kept)
    assert (
        "tabstudio.log_model(model, preprocessor=scaler, columns=list(df.columns.drop('diagnosis'))"
        in seen.stderr
    )
    assert len(done.inputs.dataset_inputs) == 4
    (output,) = done.outputs.model_outputs
    model = mlflow.pytorch.load_model(client().get_logged_model(output.model_id).artifact_location)
    arrays = np.load("seen.npz")
    again = torch.sigmoid(model(torch.tensor(arrays["x"], dtype=torch.float32)))
    assert torch.equal(again, torch.tensor(arrays["y"]))


@pytest.mark.delivers
def test_the_example_gives_the_same_as_script_and_as_notebook(tmp_path):
    import tabstudio
    from tabstudio.recipes.demo import write_cancer_table

    losses = []
    for name in ("by_hand.py", "by_hand.ipynb"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        write_cancer_table(folder / "cancer_classification.csv")
        (folder / name).write_text((ROOT / "examples" / name).read_text(encoding="utf-8"), encoding="utf-8")
        seen = run(name, cwd=folder)
        assert seen.returncode == 0, seen.stderr
        done = only_run(folder)
        assert done.info.status == "FINISHED"
        assert f"source/{name}" in artifacts(done)
        points = client(folder).get_metric_history(done.info.run_id, "val_loss")
        losses.append([(point.step, point.value) for point in points])
        model = tabstudio.load("models:/cancer-by-hand/1", tracking_uri=f"sqlite:///{folder}/mlflow.db")
        predicted = model.predict(folder / "cancer_classification.csv")
        assert set(predicted) == {"benign", "malignant"}
    assert len(losses[0]) > 10
    assert losses[0] == losses[1]


@pytest.mark.delivers
def test_a_cell_that_raises_fails_the_run_and_is_kept():
    import nbformat

    cells = [LOOP, "print('before')\n1 / 0", "print('never')"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(book, "book.ipynb")
    before = Path("book.ipynb").read_bytes()
    seen = run("book.ipynb")
    assert seen.returncode == 1
    assert "before\n" in seen.stdout
    assert "ZeroDivisionError" in seen.stderr
    done = only_run()
    assert done.info.status == "FAILED"
    executed = artifacts(done)["source/book.ipynb"].read_text()
    assert "ZeroDivisionError" in executed
    assert "never\\n" not in executed
    assert Path("book.ipynb").read_bytes() == before


IN_R = json.dumps(
    {
        "cells": [],
        "metadata": {"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("{", (), "run book.ipynb: this is no notebook: "),
        (IN_R, (), "a notebook of Python was expected, this one is R"),
        ("{}", ("--lr", "1"), "a notebook takes no arguments, got --lr 1"),
    ],
)
def test_what_is_no_notebook_of_python_is_refused(text, words, message):
    Path("book.ipynb").write_text(text)
    seen = run("book.ipynb", *words)
    assert seen.returncode == 2
    assert message in seen.stderr
    assert "Traceback" not in seen.stderr


LONG_EPOCH = """
import torch
from torch import nn
x, y = torch.randn(20, 3), torch.randn(20, 1)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for step in range(10**9):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        if step == 200:
            import time
            time.sleep(1.5)
        if step == 300:
            print("there", flush=True)
            time.sleep(60)
"""


def test_a_killed_script_loses_only_the_last_second_of_its_open_epoch():
    Path("long.py").write_text(LONG_EPOCH)
    command = [sys.executable, "-m", "tabstudio", "run", "long.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"there\n"
        process.kill()
    waiting = Path(".tabstudio/runs")
    for _ in range(60):  # its own deliverer outlives it, and may be at work still
        subprocess.run([sys.executable, "-m", "tabstudio", "sync"], check=False, capture_output=True)
        if not any(waiting.iterdir()):
            break
    done = only_run()
    assert done.info.status == "KILLED"
    steps = [step for step, _ in history(done, "train_loss_step")]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= 200
