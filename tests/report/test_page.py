"""A page is complete in itself, and nothing of a table becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tabstudio.report.page import CalloutBlock, FactsBlock, Page, PictureBlock, TableBlock, TextBlock
from tabstudio.report.text_format import format_size, format_tick, format_value, shorten

EVIL = "<script>alert('1')</script>\"><img src=x onerror=1>"


class Outline(HTMLParser):
    """Tags, ids, links and unclosed elements of a page."""

    VOID = frozenset({"meta", "img", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.ids, self.links, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def _page():
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'
    return (
        Page(EVIL, EVIL)
        .section(
            "One", TextBlock(EVIL), FactsBlock([(EVIL, EVIL)]), TableBlock([EVIL, "n"], [[EVIL, 1.5]], EVIL)
        )
        .section("One", PictureBlock(svg, EVIL, EVIL), PictureBlock(b"\x89PNG", EVIL))
        .section(EVIL, CalloutBlock("danger", EVIL, title=EVIL, command=EVIL))
    )


def test_everything_is_escaped_and_closed():
    outline = Outline(_page().html())
    assert "script" not in outline.tags
    assert outline.open == []
    assert outline.tags.count("img") == 1


def test_nothing_is_loaded_from_anywhere():
    text = _page().html()
    for link in Outline(text).links:
        assert link.startswith(("#", "data:image/png;base64,"))
    assert "@import" not in text
    assert "url(" not in text


def test_contents_point_at_sections():
    outline = Outline(_page().html())
    anchors = [link[1:] for link in outline.links if link.startswith("#")]
    assert len(set(anchors)) == 3
    assert set(anchors) <= set(outline.ids)


def test_one_section_needs_no_contents():
    assert "<nav" not in Page("t").section("a", TextBlock("b")).html()


def test_light_dark_and_paper():
    text = Page("t").html()
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text


def test_columns_of_numbers_are_aligned_right():
    rows = TableBlock(["name", "n"], [["a", 1], ["b", None], ["c", 2.5]]).html()
    assert '<th scope="col">name</th><th scope="col" class="n">n</th>' in rows
    assert '<td class="n">–</td>' in rows


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1234567, "1,234,567"),
        (0.5, "0.5"),
        (1234.56, "1,234.6"),
        (123456.7, "123,457"),
        (2e9, "2.000e+09"),
        (1e-9, "1.000e-09"),
        (0.0, "0"),
        (float("nan"), "–"),
        (float("-inf"), "-inf"),
        (False, "no"),
    ],
)
def test_values_are_said_as_people_write_them(value, expected):
    assert format_value(value) == expected


def test_long_names_lose_their_middle():
    assert len(shorten("x" * 100, 20)) == 20
    assert shorten("a\n b") == "a b"
    assert format_tick(0.12345) == "0.123"
    assert format_size(1023) == "1023 B"
    assert format_size(1024) == "1.0 KiB"


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["1,215", "0.962", "62"], True),
        (["3.5e-04", "", None, "12 %"], True),
        (["1215", "0.918 to 0.947"], False),
        (["yes", "2"], False),
        ([True, False], False),
        ([None], False),
    ],
)
def test_columns_of_numbers_are_aligned_to_the_right(cells, numeric):
    html = TableBlock(["value"], [[cell] for cell in cells]).html()
    assert ('<th scope="col" class="n">' in html) is numeric
