"""One run is read whole: models and versions, files that cannot lead elsewhere, curves, registration."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tabstudio.errors import ConfigError, TrackingError
from tabstudio.studio.access.roles import Actor, ForbiddenError
from tabstudio.studio.services.feed import Feed
from tabstudio.studio.services.runs import metric_curves, run_comparison, run_files
from tabstudio.studio.services.runs.run_details import read_details
from tabstudio.studio.services.runs.run_registration import register_run_model


@pytest.fixture
def with_model(client, log, tmp_path):
    """A run that has logged a model as tabstudio does, without a name."""
    run_id = log("made", params={"lr": 0.1})
    mlflow = client.mlflow
    experiment = mlflow.get_run(run_id).info.experiment_id
    tags = {"tabstudio.task": "binary"}
    model = mlflow.create_logged_model(experiment, name="model", source_run_id=run_id, tags=tags)
    folder = tmp_path / "made-model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    from mlflow.entities import LoggedModelOutput

    mlflow.log_model_artifacts(model.model_id, str(folder))
    mlflow.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    mlflow.finalize_logged_model(model.model_id, "READY")
    mlflow.set_tag(run_id, "mlflow.note.content", "What it is good for")
    return run_id, model.model_id


class Place:
    """As much of a studio as a registration needs."""

    def __init__(self, runs):
        self.runs, self.feed = runs, Feed({})


def test_a_model_is_registered_once_and_says_what_the_runs_note_says(runs, with_model):
    run_id, model_id = with_model
    assert read_details(runs, run_id).models[0].versions == ()
    assert read_details(runs, run_id).reproduce == f"tabstudio reproduce runs:/{run_id}/model"
    editor = Actor("ann", "editor")
    assert register_run_model(Place(runs), editor, run_id, model_id, "churn <1>") == 1
    details = read_details(runs, run_id)
    assert details.models[0].versions == details.versions == (("churn <1>", 1),)
    assert details.reproduce == "tabstudio reproduce 'models:/churn <1>/1'"
    version = runs.client.mlflow.get_model_version("churn <1>", "1")
    assert (version.description, version.run_id) == ("What it is good for", run_id)
    assert int(version.tags["tabstudio.size"]) > 0
    with pytest.raises(ConfigError, match="churn <1> 1 already"):
        register_run_model(Place(runs), editor, run_id, model_id, "other")


def test_a_viewer_registers_nothing(runs, with_model):
    with pytest.raises(ForbiddenError, match="takes the role editor"):
        register_run_model(Place(runs), Actor("ben", "viewer"), *with_model, "churn")
    with pytest.raises(ConfigError, match="has no model 'm-1'"):
        register_run_model(Place(runs), Actor("ann", "editor"), with_model[0], "m-1", "churn")


@pytest.fixture
def with_files(client, log, tmp_path):
    """A run with files in folders, one of them a link to a secret."""
    run_id = log("files")
    folder = tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("grüße\n" * 3)
    (folder / "deep" / "<b>.html").write_text("<script>1</script>")
    client.mlflow.log_artifacts(run_id, str(folder))
    root = Path(client.mlflow.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (root / "link.txt").symlink_to(secret)
    return run_id


def test_files_are_listed_with_their_sizes(client, with_files):
    found = run_files.list_files(client, with_files)
    sizes = {file.path: file.bytes for file in found.files}
    assert sizes["a.txt"] == len("grüße\n".encode()) * 3
    assert sizes["deep/<b>.html"] == 18
    assert found.whole
    assert run_files.read_text(client, with_files, "a.txt", 7) == "grüße"
    assert not run_files.list_files(client, with_files, most=1).whole


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "deep/../../x", "link.txt", "deep", "none.txt", "", "a\0b", "..\\x"]
)
def test_no_path_leads_out_of_a_runs_files(client, with_files, path):
    with pytest.raises(TrackingError, match=r"a path inside|has no such file"):
        run_files.fetch_file(client, with_files, path)


@pytest.mark.parametrize(
    ("path", "kind", "download"),
    [
        ("roc.PNG", "image/png", False),
        ("x.svg", "image/svg+xml", False),
        ("report.html", "text/html; charset=utf-8", False),
        ("a.js", "application/octet-stream", True),
        ("a.xhtml", "application/octet-stream", True),
        ("model.pkl", "application/octet-stream", True),
    ],
)
def test_whatever_a_file_holds_it_runs_nowhere(path, kind, download):
    headers = run_files.response_headers(path)
    assert headers["content-type"] == kind
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "allow" not in headers["content-security-policy"]
    assert ("content-disposition" in headers) is download


def test_long_curves_are_thinned_and_keep_their_ends(client, log):
    run_id = log("long", metrics={"loss": [float(n) for n in range(200)]})
    assert metric_curves.metric_curve(client, run_id, "loss", 1000) == [
        (float(n), float(n)) for n in range(200)
    ]
    thin = metric_curves.metric_curve(client, run_id, "loss", 20)
    assert len(thin) <= 20
    assert (thin[0], thin[-1]) == ((0.0, 0.0), (199.0, 199.0))


def test_points_that_are_no_number_are_left_out_of_a_curve(client, log):
    run_id = log("gaps", metrics={"loss": [1.0, math.nan, math.inf, 2.0]})
    assert metric_curves.metric_curve(client, run_id, "loss") == [(0.0, 1.0), (3.0, 2.0)]


def test_smoothing_is_the_corrected_moving_mean():
    assert metric_curves.smoothed([(0, 1.0), (1, 1.0), (5, 1.0)], 0.9) == [
        (0, pytest.approx(1.0)),
        (1, pytest.approx(1.0)),
        (5, pytest.approx(1.0)),
    ]
    assert metric_curves.smoothed([(0, 0.0), (1, 3.0)], 0.5)[1] == (1, pytest.approx(0.5 * 3.0 / 0.75))


def test_only_what_differs_is_shown_until_all_is_asked_for(runs, log):
    ids = [log("same", params={"lr": lr, "net": "mlp"} | more) for lr, more in ((0.1, {}), (0.2, {"x": 1}))]
    rows = runs.rows(ids)
    assert run_comparison.parameter_differences(rows) == [("lr", ["0.1", "0.2"]), ("x", [None, "1"])]
    assert [name for name, _ in run_comparison.parameter_differences(rows, everything=True)] == [
        "lr",
        "net",
        "x",
    ]
    assert run_comparison.run_labels(rows) == [f"same ({run_id[:6]})" for run_id in ids]
    assert run_comparison.coordinates(rows, ["params.lr", "params.net", "params.x"]) == [
        [0.1, "mlp", None],
        [0.2, "mlp", 1.0],
    ]
