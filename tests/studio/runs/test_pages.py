"""The pages of runs in a real browser: filtered, sorted, compared, live, and never taken in by markup."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from playwright.sync_api import expect
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from tests.studio.conftest import start_studio
from tests.studio.content import copied

MARKUP = '<img src=x onerror="window.hacked=1"> "q" \'q\' & <b>bold</b> שלום'
SLOW = """
import itertools, select, sys
from mlflow import MlflowClient
client = MlflowClient("sqlite:///mlflow.db")
run = client.create_run("0", run_name="slow").info.run_id
print(run, flush=True)
for step in itertools.count():
    client.log_metric(run, "train_loss", 1 / (1 + step), step=step)
    client.log_metric(run, "val_loss", 1.1 / (1 + step), step=step)
    if select.select([sys.stdin], [], [], 0.15)[0]:
        break
client.set_terminated(run)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained):
    """A studio over two trainings, a sweep, thirty plain runs and one whose every name holds markup."""
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModelOutput

    folder = copied(trained, tmp_path_factory.mktemp("runs"))
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    files = folder / "files"
    files.mkdir()
    (files / "page.html").write_text("<title>quiet</title><script>document.title='loud'</script><h1>Hi</h1>")
    (files / "figure.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
    plain = client.create_experiment("plain", artifact_location=f"{folder}/artifacts")

    def log(name, number, parent="", **params):
        tags = {"mlflow.parentRunId": parent} if parent else {}
        run = client.create_run(plain, run_name=name, start_time=1_000_000 + number, tags=tags).info.run_id
        for key, value in ({"rate": number, "same": "x"} | params).items():
            client.log_param(run, key, value)
        for step in range(3):
            client.log_metric(run, "acc", number / 100 + step / 1000, step=step)
        client.set_terminated(run, end_time=2_000_000)
        return run

    for number in range(30):
        log(f"plain {number:02}", number)
    odd = log(MARKUP, 50, note=MARKUP)
    client.log_metric(odd, "odd", 1.5)
    client.set_tag(odd, "mlflow.note.content", f"note {MARKUP}")
    client.log_artifacts(odd, str(files))
    model = client.create_logged_model(plain, name="net", source_run_id=odd)
    client.log_model_artifacts(model.model_id, str(files))
    client.log_outputs(odd, [LoggedModelOutput(model.model_id, step=0)])
    client.finalize_logged_model(model.model_id, "READY")
    # MLflow's client takes no such name; a program that writes into its tables may.
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("UPDATE latest_metrics SET key = ? WHERE key = 'odd'", (MARKUP,))
        database.execute("UPDATE metrics SET key = ? WHERE key = 'odd'", (MARKUP,))
    sweep = log("sweep", 60)
    for number in range(4):
        log(f"trial {number}", 61 + number, parent=sweep)
    running = start_studio(folder)
    yield running
    running.stop()


def rows(page):
    """The rows of the table, without its head."""
    return page.get_by_role("table").last.locator("tbody tr")


def test_runs_are_filtered_and_a_filter_without_sense_is_told(place, browse):
    page = browse(f"{place.url}/runs")
    expect(page.get_by_text("38 runs")).to_be_visible()
    page.get_by_label("Name contains").fill("PLAIN 0")
    expect(page.get_by_text("10 runs")).to_be_visible()
    expect(rows(page)).to_have_count(10)
    filter_ = page.get_by_label("MLflow filter")
    filter_.fill("metrics.acc > 0.05 and params.rate != '7'")
    filter_.press("Enter")
    expect(page.get_by_text("4 runs")).to_be_visible()
    expect(page).to_have_url(re.compile("filter=metrics.acc"))
    filter_.fill("metrics.acc >")
    filter_.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("filter 'metrics.acc >': Invalid clause")
    expect(page).to_have_url(re.compile(r"metrics\.acc\+%3E$"))  # kept, before the page is left
    page.reload()
    expect(page.get_by_label("Name contains")).to_have_value("PLAIN 0")
    expect(page.get_by_role("alert")).to_contain_text("write for example metrics.test_roc_auc > 0.9")


def test_runs_are_sorted_and_paged_on_the_server(place, browse):
    page = browse(f"{place.url}/runs?name=plain")
    expect(rows(page)).to_have_count(25)
    expect(rows(page).first).to_contain_text("plain 29")
    page.get_by_role("columnheader", name="Run", exact=True).click()
    expect(rows(page).first).to_contain_text("plain 00")
    page.get_by_role("button", name="Next page").click()
    expect(rows(page)).to_have_count(5)
    expect(rows(page).first).to_contain_text("plain 25")
    expect(page.get_by_text("26-30 of 30")).to_be_visible()


def test_columns_are_chosen_and_kept_in_the_browser(place, browse):
    page = browse(f"{place.url}/runs?name=plain")
    page.get_by_role("button", name="Columns").click()
    field = page.get_by_role("combobox", name="Columns")
    field.fill("rate")
    page.get_by_role("option", name="rate (parameter)").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("columnheader", name="rate").click()
    expect(rows(page).first).to_contain_text("plain 00")
    page.get_by_role("columnheader", name="rate").click()
    expect(rows(page).first).to_contain_text("plain 29")
    page.reload()
    expect(page.get_by_role("columnheader", name="rate")).to_be_visible()


def test_a_sweep_is_folded_and_opened_in_its_place(place, browse):
    page = browse(f"{place.url}/runs")
    page.get_by_role("checkbox", name="Fold runs of sweeps").click()
    expect(page.get_by_text("34 runs, those of sweeps folded below their parent")).to_be_visible()
    expect(page.get_by_role("link", name="trial 0")).to_have_count(0)
    page.get_by_role("button", name="Show the runs below sweep").click()
    expect(page.get_by_role("link", name=re.compile("trial"))).to_have_count(4)
    page.get_by_role("button", name="Hide the runs below sweep").click()
    expect(page.get_by_role("link", name="trial 0")).to_have_count(0)


def test_two_runs_are_compared(place, browse):
    page = browse(f"{place.url}/runs?name=trial")
    expect(rows(page)).to_have_count(4)
    for name in ("trial 1", "trial 3"):
        page.get_by_role("row", name=re.compile(name)).get_by_role("checkbox").click()
    page.get_by_role("button", name="Compare 2 runs").click()
    page.wait_for_url(re.compile(r"/runs/compare\?ids="))
    differing = page.get_by_role("region", name="Parameters")
    expect(differing.get_by_role("row")).to_have_count(2)
    expect(differing).to_contain_text(re.compile(r"rate\s*64\s*62|rate\s*62\s*64"))
    page.get_by_role("checkbox", name="Also those that are equal").click()
    expect(differing).to_contain_text("same")
    curves = page.locator("section", has=page.get_by_role("heading", name="Curves"))
    expect(curves.locator("svg path[fill=none][stroke^='var(--series']")).to_have_count(2)
    curves.get_by_text("Numbers").click()
    expect(curves.get_by_role("table")).to_contain_text("0.642")
    axes = page.locator("section", has=page.get_by_role("heading", name="Parameters and results"))
    axes.get_by_text("Numbers").click()
    expect(axes.get_by_role("table")).to_contain_text("62")


def test_a_run_is_seen_training_and_new_runs_appear_by_themselves(place, browse):
    listed = browse(f"{place.url}/runs")
    expect(rows(listed)).to_have_count(25)
    command = [sys.executable, "-W", "ignore", "-c", SLOW]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=place.folder, **pipes) as training:
        run_id = training.stdout.readline().strip()
        slow = listed.get_by_role("row", name=re.compile("slow"))
        expect(slow.get_by_text("running")).to_be_visible()
        page = browse(f"{place.url}/runs/{run_id}")
        expect(page.locator(".state").get_by_text("running")).to_be_visible()
        path = page.locator("figure.chart").first.locator("svg path[stroke='var(--series-1)']").first
        page.get_by_text("Numbers").first.click()
        before = path.get_attribute("d")
        page.wait_for_function(
            "before => document.querySelector(\"figure.chart svg path[stroke='var(--series-1)']\")"
            ".getAttribute('d') !== before",
            arg=before,
        )
        expect(page.locator("details[open] table")).to_contain_text("train_loss")
        training.stdin.write("end\n")
        training.stdin.flush()
        expect(page.locator(".state").get_by_text("finished")).to_be_visible()
        expect(slow.get_by_text("finished")).to_be_visible()
        assert training.wait(timeout=20) == 0


def test_the_threshold_moves_the_matrix_to_what_scikit_learn_counts(place, browse, trained):
    from mlflow import MlflowClient

    from tabstudio import load

    uri = f"sqlite:///{trained}/mlflow.db"
    version = MlflowClient(uri).get_model_version("cancer", "2")
    model = load("models:/cancer/2", tracking_uri=uri, registry_uri=uri)
    positive = model.target.classes.index(model.target.positive)
    truth = model.evidence.labels == positive
    chance = model.evidence.predictions[:, positive]

    page = browse(f"{place.url}/runs/{version.run_id}")
    decision = page.locator("section", has=page.get_by_role("heading", name="Decision"))
    slider = decision.get_by_role("slider", name="Threshold")
    matrix = decision.get_by_role("region", name="Confusion matrix")
    expect(decision.get_by_text("as trained", exact=False).first).to_be_visible()

    def check():
        told = decision.locator(".threshold .strong").last.inner_text()
        cut = float(told.partition(",")[0])
        used = model.threshold if "as trained" in told else cut
        said = chance >= used
        counts = [int(n) for n in matrix.locator("td.n").all_inner_texts()]
        assert counts == confusion_matrix(truth, said, labels=[False, True]).ravel().tolist()
        facts = dict(zip(*(decision.locator(f"dl {t}").all_inner_texts() for t in ("dt", "dd")), strict=True))
        assert facts["Recall"] == f"{recall_score(truth, said):.4f}"
        assert facts["Precision"] == f"{precision_score(truth, said):.4f}"
        assert facts["F1"] == f"{f1_score(truth, said):.4f}"
        assert float(facts["Cost"]) == counts[1] * false + counts[2] * missed
        return told, counts

    false, missed = 1, 1
    told, counts = check()
    assert "as trained" in told
    slider.focus()
    for key, times in (("ArrowRight", 25), ("ArrowLeft", 60)):
        before = decision.locator(".threshold .strong").last.inner_text()
        for _ in range(times):
            slider.press(key)
        expect(decision.locator(".threshold .strong").last).not_to_have_text(before)
        page.wait_for_timeout(400)
        check()
    decision.get_by_label("Cost of a missed positive").fill("50")
    decision.get_by_role("button", name="Cheapest").click()
    page.wait_for_timeout(400)
    missed = 50
    cheapest = check()[1]
    assert cheapest[2] <= counts[2]
    decision.get_by_role("button", name="As trained").click()
    expect(decision.locator(".threshold .strong").last).to_contain_text("as trained")


def test_a_trained_run_shows_its_curves_origin_files_and_model(place, browse, trained):
    from mlflow import MlflowClient

    version = MlflowClient(f"sqlite:///{trained}/mlflow.db").get_model_version("cancer", "2")
    page = browse(f"{place.url}/runs/{version.run_id}")
    for name in (
        "Result",
        "Importance",
        "By class",
        "Curves",
        "Metrics",
        "Again",
        "Parameters",
        "Environment",
    ):
        expect(page.get_by_role("heading", name=name, exact=True, level=2)).to_be_visible()
    for title in ("ROC", "Precision and recall", "Calibration", "Loss", "Learning rate"):
        figure = page.locator("figure.chart", has=page.get_by_text(title, exact=True))
        expect(figure.locator("svg path").first).to_be_attached()
    expect(page.get_by_text("tabstudio reproduce models:/cancer/2")).to_be_visible()
    expect(page.get_by_role("link", name="cancer version 2")).to_be_visible()
    picture = page.locator("img[alt='evaluation/roc.png']")
    picture.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => document.querySelector(\"img[alt='evaluation/roc.png']\").naturalWidth > 100"
    )
    page.get_by_role("button", name="Read evaluation/report.txt").click()
    expect(page.get_by_role("dialog")).to_contain_text("precision")


def test_markup_in_names_stays_text(place, browse):
    page = browse(f"{place.url}/runs?name=bold")
    page.get_by_role("link", name=MARKUP).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    expect(page.get_by_role("cell", name=MARKUP)).to_be_visible()
    expect(page.get_by_role("rowheader", name=MARKUP)).to_be_visible()
    expect(page.get_by_role("heading", name="Note")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x][onerror]").count() == 0


def test_a_model_is_registered_and_its_version_appears(place, browse):
    page = browse(f"{place.url}/runs?name=bold")
    page.get_by_role("link", name=MARKUP).click()
    page.get_by_role("button", name="Register net").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the registered model").fill("a/b")
    dialog.get_by_role("button", name="Register", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("a registered model's name is 1 to 250 characters")
    dialog.get_by_label("Name of the registered model").fill("named <b>")
    dialog.get_by_role("button", name="Register", exact=True).click()
    expect(page.get_by_role("link", name="named <b> version 1")).to_be_visible()
    expect(page.get_by_role("button", name="Register net")).to_have_count(0)


def test_files_of_a_run_run_nothing_in_the_studio(place, browse):
    page = browse(f"{place.url}/runs?name=bold")
    page.get_by_role("link", name=MARKUP).click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f]{32}"))
    base = page.url
    for path, kind in (("page.html", "text/html; charset=utf-8"), ("figure.svg", "image/svg+xml")):
        got = page.request.get(f"{base}/files/{path}")
        assert (got.status, got.headers["content-type"]) == (200, kind)
        assert got.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert got.headers["x-content-type-options"] == "nosniff"
    assert "attachment" in page.request.get(f"{base}/files/page.html?download").headers["content-disposition"]
    for path in ("none.png", "..%2F..%2Fmlflow.db", "%2Fetc%2Fpasswd"):
        assert page.request.get(f"{base}/files/{path}").status == 404
    with page.expect_popup() as opened:
        page.get_by_role("link", name="page.html", exact=True).click()
    shown = opened.value
    expect(shown.get_by_role("heading", name="Hi")).to_be_visible()
    assert shown.title() == "quiet"


def test_a_run_that_is_not_there_is_told(place, browse):
    page = browse(f"{place.url}/runs/0123456789abcdef0123456789abcdef")
    expect(page.get_by_role("alert")).to_contain_text("cannot look at run 0123456789abcdef")
    browse(f"{place.url}/runs/compare?ids=a").get_by_text("Tick 2 to 50 runs").wait_for()
