"""Tables escape what they show, whatever it is."""

from __future__ import annotations

import math

import pytest

from tabstudio.studio.ui.tables import BadgeCell, LinkCell, format_number, table_markup

EVIL = "<img src=x onerror=alert(1)>\"'&"


def test_no_text_becomes_markup():
    cells = [EVIL, LinkCell(EVIL, f"/runs/{EVIL}"), BadgeCell(EVIL, EVIL), None]
    made = table_markup([EVIL] * 4, [cells], EVIL)
    assert "<img" not in made
    assert made.count("&lt;img") == 10  # four headers, one caption, three texts, an address, a tone


def test_the_first_column_names_its_row_and_numbers_stand_at_the_right():
    made = table_markup(["version", "auc"], [["3", 0.97123456]])
    assert '<th scope="row">3</th><td class="n">0.9712</td>' in made
    assert "<td>3</td>" in table_markup(["a"], [["3"]], wide=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (math.nan, "–"),
        (12000, "12,000"),
        (3.0, "3"),
        (0.123456, "0.1235"),
        (1e-7, "1e-07"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_written_for_people(value, shown):
    assert format_number(value) == shown
