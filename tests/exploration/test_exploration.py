"""The exploration of odd and of real tables: numbers, pictures, and a report that is complete in itself."""

from __future__ import annotations

import errno
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.exploration import Exploration, explore

RNG = np.random.default_rng(5)


class Outline(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]


def _people(n: int = 120) -> dict[str, object]:
    age = RNG.integers(18, 80, n)
    return {
        "age": age,
        "income": np.where(RNG.random(n) < 0.1, np.nan, RNG.lognormal(10, 1, n)),
        "city": RNG.choice(["Berlin", "Paris", "Rome"], n),
        "member": RNG.random(n) < 0.5,
        "since": [date(2020, 1, 1) + timedelta(days=int(d)) for d in RNG.integers(0, 900, n)],
        "empty": [None] * n,
        "same": ["x"] * n,
        "paid": np.where(age + RNG.normal(0, 9, n) > 45, "yes", "no"),
    }


PEOPLE = _people()
LARGE = pl.DataFrame({"code": [f"c{i % 700}" for i in range(2100)], "y": [i % 2 for i in range(2100)]})

CASES = {
    "classes": (PEOPLE, "paid"),
    "number": (PEOPLE, "income"),
    "no target": (PEOPLE, None),
    "boolean target": (PEOPLE, "member"),
    "many classes": ({"x": RNG.normal(size=300), "y": [f"k{i % 12}" for i in range(300)]}, "y"),
    "700 levels": (LARGE, "y"),
    "infinite": ({"x": [1.0, np.inf, -np.inf, np.nan, 2.0] * 8, "y": [0, 1] * 20}, "y"),
    "one row": ({"x": [1.0], "w": ["a"]}, None),
    "one column": ({"x": [1.0, 2.0, 4.0]}, None),
    "target alone": ({"y": ["a", "b"] * 20}, "y"),
    "evil names": (
        {
            "<script>alert(1)</script>": RNG.normal(size=60),
            "a$b_{c}": RNG.integers(0, 3, 60),
            "naïve 名": ["<b>", "</style>", "&"] * 20,
            "y": ["<i>no</i>", "yes"] * 30,
        },
        "y",
    ),
}


@pytest.fixture(params=CASES, scope="module")
def explored(request) -> Exploration:
    data, target = CASES[request.param]
    frame = data if isinstance(data, pl.DataFrame) else pl.DataFrame(data)
    return explore(frame, target=target)


def test_report_is_complete_in_itself(explored):
    text = explored.html()
    outline = Outline(text)
    assert "script" not in outline.tags
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in outline.links)
    assert "url(http" not in text
    assert "@import" not in text


def test_notebook_repr_is_safe(explored):
    outline = Outline(explored._repr_html_())
    assert "script" not in outline.tags
    assert "html" not in outline.tags


def test_text_names_every_column(explored):
    text = explored.text()
    for name in explored.table.schema.names:
        assert name in text


def test_pictures_are_drawn_one_by_one(explored, tmp_path):
    from tabstudio.report.figure import png

    for name in explored.picture_names:
        assert png(explored.picture(name)).startswith(b"\x89PNG")


def test_numbers_equal_pandas(explored):
    frame, numbers = explored.table.frame, explored.summary.numbers
    if not len(numbers):
        return
    finite = frame.select(pl.col(numbers["column"].to_list()).cast(pl.Float64)).to_pandas()
    expected = finite.replace([np.inf, -np.inf], np.nan).describe().T
    got = numbers.drop("column").to_numpy().astype(float)
    np.testing.assert_allclose(got, expected.to_numpy(dtype=float), rtol=1e-9, equal_nan=True)


def test_types_and_counts_add_up(explored):
    columns = explored.summary.columns
    assert (columns["present"] + columns["missing"] == len(explored.table)).all()
    assert columns["column"].to_list() == list(explored.table.schema.names)


def test_classes_are_counted():
    counts = explore(pl.DataFrame(PEOPLE), target="paid").summary.classes
    expected = {word: int((PEOPLE["paid"] == word).sum()) for word in ("yes", "no")}
    assert dict(counts.select("class", "rows").iter_rows()) == expected
    assert counts["share"].sum() == pytest.approx(1)


def test_missing_values_are_counted():
    missing = explore(pl.DataFrame(PEOPLE)).summary.missing
    assert missing.row(0) == ("empty", 120, 1.0)
    assert dict(missing.select("column", "missing").iter_rows())["income"] == np.isnan(PEOPLE["income"]).sum()


def test_a_leak_is_loud_and_names_the_way_out():
    y = RNG.integers(0, 2, 400)
    frame = pl.DataFrame({"x": RNG.normal(size=400), "outcome": y * 2.0 + RNG.normal(0, 0.01, 400), "y": y})
    found = explore(frame, target="y")
    assert 'class="danger"' in found.html()
    assert "--drop outcome" in found.html()
    assert "DANGER" in found.text()
    assert "outcome" in found.table.frame.columns


def test_saved_folder_holds_report_and_pictures(tmp_path):
    found = explore(pl.DataFrame(PEOPLE), target="paid")
    report = found.save(tmp_path / "out")
    assert report.read_text("utf-8") == found.html()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.html", *(f"{name}.png" for name in found.picture_names)}


def test_same_table_gives_the_same_report():
    first, second = (explore(pl.DataFrame(PEOPLE), target="paid").html() for _ in range(2))
    assert first == second


def test_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    found = explore(pl.DataFrame(PEOPLE), target="paid")
    old = found.save(tmp_path / "old")
    before = {path.name: path.read_bytes() for path in old.parent.iterdir()}
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if "report.html" in self.name:
            write(self, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TabstudioError, match=r"new: the report cannot be written: No space left on device"):
        found.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(TabstudioError):
        explore(pl.DataFrame(PEOPLE)).save(tmp_path / "old")
    assert {path.name: path.read_bytes() for path in old.parent.iterdir()} == before


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(TabstudioError, match="taken: the report cannot be written"):
        explore({"x": [1, 2]}).save(tmp_path / "taken")


def test_unknown_picture_names_the_known_ones():
    with pytest.raises(ConfigError, match="there are class_counts, missing, associations, distributions"):
        explore(pl.DataFrame(PEOPLE), target="paid").picture("heatmap")


def test_a_table_keeps_its_target():
    from tabstudio.table import read

    table = read(pl.DataFrame(PEOPLE), target="paid")
    assert explore(table, target="paid").table is table
    with pytest.raises(ConfigError, match="read it again"):
        explore(table, target="member")


def test_cancer_pictures(cancer_csv):
    found = explore(cancer_csv, target="diagnosis")
    assert found.picture_names == ("class_counts", "associations", "distributions")
    assert found.summary.classes.rows() == [
        ("benign", 357, pytest.approx(0.627, abs=1e-3)),
        ("malignant", 212, pytest.approx(0.373, abs=1e-3)),
    ]
    assert found.summary.associations.with_target["column"][0] == "worst concave points"
