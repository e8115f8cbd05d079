"""Figures are the same bytes each time, wear one style and change no setting of matplotlib."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from tabstudio.report.canvas import Canvas, width_of
from tabstudio.report.figure import PALETTE, SEQUENTIAL, figure, heatmap, png, svg


def _drawn():
    made = figure(4, 3)
    axes = made.add_subplot()
    axes.plot([1, 2, 3], [3, 1, 2], marker="o", label="loss")
    axes.legend()
    return made


def test_png_and_svg_are_deterministic():
    assert png(_drawn()) == png(_drawn())
    assert svg(_drawn()) == svg(_drawn())


def test_png_has_its_size_and_white_paper():
    content = png(_drawn())
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    image = Image.open(io.BytesIO(content)).convert("RGB")
    assert image.size == (440, 330)
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_svg_is_one_element_with_ids_of_its_own():
    text = svg(_drawn())
    assert ET.fromstring(text).tag.endswith("svg")
    assert "<?xml" not in text
    assert "date" not in text.lower()
    ids = re.findall(r' id="([^"]+)"', text)
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert set(ids) == set(used)
    other = svg(heatmap(["a"], np.ones((1, 1))))
    assert not set(ids) & set(re.findall(r' id="([^"]+)"', other))


def test_style_is_applied_without_touching_settings():
    before = dict(mpl.rcParams)
    made = _drawn()
    svg(made)
    assert dict(mpl.rcParams) == before
    assert made.axes[0].lines[0].get_color() == PALETTE[0]
    assert not made.axes[0].spines["top"].get_visible()


def test_pyplot_is_not_needed():
    import subprocess
    import sys

    program = "import sys, tabstudio.report.figure; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def _dark_pixels(fig):
    return (np.asarray(Image.open(io.BytesIO(png(fig))).convert("L")) < 90).sum()


def test_heatmap_writes_numbers_and_leaves_nan_blank():
    values = np.array([[0.11, 0.22], [0.33, 0.44]])
    with_gap = values.copy()
    with_gap[1, 1] = np.nan
    full, gap = heatmap(["a", "b"], values), heatmap(["a", "b"], with_gap)
    assert _dark_pixels(full) > _dark_pixels(gap) > 0


def test_heatmap_of_other_columns_grows_with_them():
    wide = heatmap(["a"], np.zeros((1, 30)), columns=[f"c{i}" for i in range(30)])
    narrow = heatmap(["a"], np.zeros((1, 3)), columns=["x", "y", "z"])
    assert wide.get_size_inches()[0] > narrow.get_size_inches()[0]


@pytest.mark.parametrize("name", ["名前", "a$b$c", "line\nbreak", "<b>&amp;", "", "🎉", "x" * 300])
def test_any_name_can_be_drawn(name):
    fig = heatmap([name, "b"], np.eye(2), title=name, xlabel=name, colours=SEQUENTIAL, low=0)
    assert png(fig)
    ET.fromstring(svg(fig))


def test_text_of_a_canvas_lies_where_it_was_put():
    sheet = Canvas(2, 1)
    sheet.text(2.0, 0.5, "right", align="right", size=10)
    pixels = np.asarray(Image.open(io.BytesIO(png(sheet.figure()))).convert("L"))
    rows, columns = np.nonzero(pixels < 128)
    assert columns.min() >= (2 - width_of(["right"], size=10)) * 110 - 2
    assert 0.38 * 110 < rows.min() < rows.max() < 0.62 * 110
