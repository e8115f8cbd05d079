"""The pages of tables and trainings, clicked through in a browser."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import numpy as np
import polars as pl
import psutil
import pytest
from playwright.sync_api import expect

from tabstudio.database import Database
from tabstudio.studio.services.jobs import StudioJobs
from tabstudio.studio.services.tables.table_folder import TableFolder

from .conftest import start_studio

expect.set_options(timeout=20_000)
LONG = 90_000
"""Milliseconds that a training may take on a busy machine."""
EVIL = "<img src=x onerror=alert(1)>\"'&"
LIMIT = 200_000


def _table(rows: int = 300) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2))
    noisy = x[:, 0] + rng.normal(size=rows)
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            EVIL: x[:, 0],
            "size": [None if value > 1 else value for value in x[:, 1].tolist()],
            "town": rng.choice(["Bern", "<b>Rom</b>"], rows),
            "bought": np.where(noisy > 0, EVIL, "no"),
            "leak": np.where(noisy > 0, 1.5, 0.5),
        }
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A studio in a folder with one table."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "data").mkdir()
    _table().write_csv(folder / "data" / "evil.csv")
    running = start_studio(folder, "--max-upload", str(LIMIT), TABSTUDIO_ACTOR="ann")
    yield running
    with Database(f"sqlite:///{folder}/tabstudio.db") as database:
        for job in StudioJobs(database, TableFolder(folder / "data", 1)).list():
            if job.going:
                psutil.Process(job.pid).kill()
    if running.process.poll() is None:
        running.stop()


def _upload(page, name: str, content: bytes) -> None:
    page.get_by_label("CSV or Parquet file").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content}
    )
    page.get_by_role("button", name="Upload").click()


def _choose(page, label: str, option: str) -> None:
    page.get_by_label(label).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_table_is_uploaded_looked_at_and_never_replaced_unasked(place, browse):
    page = browse(f"{place.url}/data")
    expect(page.get_by_role("link", name="evil.csv")).to_be_visible()
    content = _table(120).write_csv().encode()
    _upload(page, "new table.csv", content)
    expect(page).to_have_url(f"{place.url}/data/table/new%20table.csv")
    expect(page.get_by_role("heading", level=1)).to_have_text("new table.csv")
    expect(page.get_by_text("120 rows · 6 columns")).to_be_visible()
    assert (place.folder / "data" / "new table.csv").read_bytes() == content

    page.goto(f"{place.url}/data")
    _upload(page, "new table.csv", b"a,b\n1,2\n3,4\n")
    expect(page.get_by_role("alert")).to_contain_text("there is a table of that name")
    assert (place.folder / "data" / "new table.csv").read_bytes() == content
    page.get_by_role("button", name="Replace it").click()
    expect(page.get_by_text("2 rows · 2 columns")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("photo.csv", b"\x89PNG\r\n\x1a\n", "photo.csv: this is a PNG picture"),
        ("page.csv", b"<html><script>alert(1)</script>", "this is a web page"),
        ("code.py", b"print(1)", "a name that ends in .csv"),
        ("empty.csv", b"", "the file is empty"),
        ("large.csv", b"a,b\n" + b"1,2\n" * LIMIT, "large.csv is larger than 195.3 KiB"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(place, browse, name, content, words):
    page = browse(f"{place.url}/data")
    before = sorted((place.folder / "data").iterdir())
    page.get_by_label("CSV or Parquet file").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content}
    )
    if len(content) <= LIMIT:
        page.get_by_role("button", name="Upload").click()
    else:
        expect(page.get_by_role("button", name="Upload")).to_be_disabled()
        answer = page.request.put(
            f"{place.url}/api/v1/tables/{name}", data=content
        )  # who does not ask the page
        assert answer.status == 413
    expect(page.get_by_role("alert")).to_contain_text(words)
    assert sorted((place.folder / "data").iterdir()) == before


def test_guesses_are_shown_with_reasons_and_can_be_corrected(place, browse):
    page = browse(f"{place.url}/data/table/evil.csv")
    columns = page.get_by_role("region", name="Columns")
    expect(columns.get_by_role("rowheader", name=EVIL)).to_be_visible()
    expect(columns.get_by_role("row").filter(has_text="counts the rows")).to_contain_text("id")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()

    _choose(page, "Column to predict", "bought")
    mind = page.get_by_role("region", name="What to mind")
    expect(mind).to_contain_text("Danger: leak alone predicts the target almost perfectly")
    mind.get_by_role("button", name="Leave it out: leak").click()
    expect(mind).not_to_contain_text("Danger")
    expect(columns.get_by_label("Use of leak")).to_have_value("no")

    columns.get_by_label("Use of id").select_option("yes")
    expect(columns.get_by_label("Use of id")).to_have_value("yes")
    columns.get_by_label("Kind of id").select_option("category")
    expect(columns.get_by_role("row").filter(has=page.get_by_label("Kind of id"))).to_contain_text("as told")
    command = page.locator(".copied .code")
    expect(command).to_contain_text("--target bought --name evil --drop leak --keep id --kind id=category")

    page.reload()  # the choices stand in the address
    expect(columns.get_by_label("Kind of id")).to_have_value("category")
    expect(command).to_contain_text("--drop leak --keep id --kind id=category")
    columns.get_by_label("Kind of town").select_option("number")
    wrong = page.get_by_role("alert").filter(has_text="cannot be read as a number")
    expect(wrong).to_be_visible()
    page.get_by_role("button", name="Take the choices back").click()
    expect(wrong).to_have_count(0)
    expect(page.get_by_text("300 rows · 6 columns")).to_be_visible()


def test_rows_that_belong_together_are_kept_so_by_a_button(place, browse):
    table = pl.DataFrame({"patient_id": [i // 5 for i in range(300)], "sick": ["yes", "no", "no"] * 100})
    table.write_csv(place.folder / "data" / "visits.csv")
    page = browse(f"{place.url}/data/table/visits.csv?target=sick")
    mind = page.get_by_role("region", name="What to mind")
    expect(mind).to_contain_text("patient_id is named like an id")
    mind.get_by_role("button", name="Keep its rows together: patient_id").click()
    expect(page.locator(".copied .code")).to_contain_text("--group patient_id")


def test_the_table_is_drawn_with_its_numbers_whatever_its_columns_are_called(place, browse):
    page = browse(f"{place.url}/data/table/evil.csv?target=bought")
    expect(page.get_by_role("img", name="Rows of each class", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name="Percent of the rows without a value")).to_be_visible()
    spread = page.get_by_role("figure").filter(has_text="Percent of the rows of each class of bought")
    spread.get_by_text("Numbers").click()
    expect(spread.get_by_role("columnheader", name=EVIL)).to_be_visible()
    heights = [float(cell) for cell in spread.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert sum(heights) == pytest.approx(100, abs=0.5)
    page.get_by_label("Column", exact=True).click()
    page.get_by_role("option", name=re.compile("^town")).click()
    expect(spread.get_by_role("rowheader", name="<b>Rom</b>")).to_have_count(0)
    spread.get_by_text("Numbers").click()
    expect(spread.get_by_role("rowheader", name="<b>Rom</b>")).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


def test_a_training_moves_is_stopped_and_leaves_what_it_reached(place, browse):
    page = browse(f"{place.url}/data/table/evil.csv?target=bought")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    page.get_by_label("Name of the model").fill("odd <b>name")
    page.get_by_text("More options").click()
    page.get_by_label("Epochs, at most").fill("100000")
    page.get_by_label("Epochs of patience").fill("0")
    page.get_by_label("Widths of the layers").fill("8")
    command = page.locator(".copied .code")
    expect(command).to_contain_text("--hidden 8 --epochs 100000 --patience 0")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page).to_have_url(re.compile("/jobs/"), timeout=LONG)
    expect(page.get_by_role("heading", level=1)).to_have_text("Training of odd <b>name")

    said = page.get_by_text(re.compile(r"^epoch [\d,]+ of up to 100,000 · at most"))
    expect(said).to_be_visible(timeout=LONG)
    curve = page.get_by_role("img").locator("path[stroke-width='2']").first
    before = curve.get_attribute("d"), said.inner_text()
    page.wait_for_function(
        "([d, said]) => document.querySelector(\"[role=img] path[stroke-width='2']\").getAttribute('d') !== d"
        " && !document.body.innerText.includes(said)",
        arg=[*before],
        timeout=LONG,
    )
    home = browse(place.url)  # another browser sees it, too
    expect(home.get_by_role("link", name="odd <b>name: bought of evil.csv")).to_be_visible()
    expect(home.get_by_text(re.compile(r"\d+ % of a core"))).to_be_visible()

    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(
        page.get_by_text(re.compile("^stopped by ann after .*; what it had reached is kept"))
    ).to_be_visible(timeout=LONG)
    expect(page.get_by_role("button", name="Go on where it stopped")).to_be_visible()
    expect(page.get_by_text("Partial: it was stopped before its end.")).to_be_visible()
    expect(home.get_by_text("Nothing is being trained.")).to_be_visible()
    expect(home.get_by_role("region", name="What happened lately")).to_contain_text("stopped")
    page.get_by_role("link", name="Its run: curves, evaluation, files").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("odd <b>name")


def test_a_search_ends_in_options_to_train_with(place, browse):
    page = browse(f"{place.url}/data/table/evil.csv?target=bought")
    page.get_by_label("Search for the best options").click()
    page.get_by_label("Trials").fill("3")
    page.get_by_text("More options").click()
    page.get_by_label("Epochs, at most").fill("2")
    expect(page.locator(".copied .code")).to_contain_text("tabstudio sweep")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("button", name="Train with the best options")).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Train with the best options").click()
    expect(page.get_by_text(re.compile("^tabstudio train .*--learning-rate"))).to_be_visible(timeout=LONG)


def test_a_wrong_option_is_told_where_the_form_is(place, browse):
    page = browse(f"{place.url}/data/table/evil.csv?target=bought")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    page.get_by_label("Share of rows for the test").fill("3")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="option test_size")).to_be_visible()


@pytest.mark.parametrize("name", ["none.csv", "../studio.log", "..%2Fstudio.log", "/etc/passwd"])
def test_no_address_leads_out_of_the_folder(place, browse, name):
    page = browse(f"{place.url}/data/table/{quote(name, safe='/%')}")
    expect(page.locator("body")).not_to_contain_text("the studio is at")
    expect(page.locator("body")).not_to_contain_text("root:")


def test_three_thousand_tables_are_paged_and_searched(tmp_path, browse):
    (tmp_path / "data" / "many").mkdir(parents=True)
    for number in range(3000):
        (tmp_path / "data" / "many" / f"{number:05}.csv").write_text("a,b\n1,2\n")
    running = start_studio(tmp_path)
    try:
        page = browse(f"{running.url}/data")
        expect(page.get_by_text("Page 1")).to_be_visible()
        began = time.monotonic()
        page.get_by_label("Search by name").fill("02999")
        expect(page.get_by_role("link", name="many/02999.csv")).to_be_visible()
        assert time.monotonic() - began < 5
        expect(page.get_by_role("row")).to_have_count(2)
    finally:
        running.stop()
