"""A report as one HTML file: no script, no request to anywhere, every text escaped, light, dark, on paper."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal, Protocol

from tabstudio.report.style import CSS
from tabstudio.report.text_format import format_value

Severity = Literal["info", "warning", "danger"]

_SIGNS = {"info": "i", "warning": "!", "danger": "!"}


class Block(Protocol):
    """Anything that can say itself as escaped HTML."""

    def html(self) -> str:
        """The block as HTML."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Paragraphs of plain text, set apart by empty lines. `muted` makes a quiet note of it."""

    text: str
    muted: bool = False

    def html(self) -> str:
        """One `<p>` per paragraph."""
        kind = ' class="muted"' if self.muted else ""
        paragraphs = [part for part in re.split(r"\n\s*\n", self.text) if part.strip()]
        return "".join(f"<p{kind}>{escape(part.strip())}</p>" for part in paragraphs)


@dataclass(frozen=True, slots=True)
class FactsBlock:
    """A row of tiles: a large value above its small name."""

    pairs: Sequence[tuple[str, object]]

    def html(self) -> str:
        """A description list of (name, value)."""
        tiles = (
            f"<div><dt>{escape(str(name))}</dt><dd>{escape(format_value(value))}</dd></div>"
            for name, value in self.pairs
        )
        return f'<dl class="facts">{"".join(tiles)}</dl>'


@dataclass(frozen=True, slots=True)
class TableBlock:
    """A table. Columns of numbers, plain or as words, are aligned to the right; None and NaN are a dash."""

    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def html(self) -> str:
        """A `<table>` that scrolls sideways where it is too wide."""
        width = len(self.headers)
        kinds = [' class="n"' if self._is_numeric(i) else "" for i in range(width)]
        head = "".join(
            f'<th scope="col"{kind}>{escape(str(name))}</th>'
            for name, kind in zip(self.headers, kinds, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(f"<td{k}>{escape(format_value(v))}</td>" for v, k in zip(row, kinds, strict=True))
            + "</tr>"
            for row in self.rows
        )
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return (
            f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _is_numeric(self, column: int) -> bool:
        cells = [row[column] for row in self.rows if row[column] not in (None, "")]
        return bool(cells) and all(_is_numeric_cell(cell) for cell in cells)


def _is_numeric_cell(cell: object) -> bool:
    if isinstance(cell, str):
        return re.fullmatch(r"[-+−]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?\s?%?", cell) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)


@dataclass(frozen=True, slots=True)
class PictureBlock:
    """An SVG element (str) or a PNG (bytes), with the words for those who cannot see it.

    A `wide` one keeps its size on a narrow screen and scrolls.
    """

    image: str | bytes
    alt: str
    caption: str = ""
    wide: bool = False

    def html(self) -> str:
        """A `<figure>` on a white card, in the dark too."""
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        kind = "card wide" if self.wide else "card"
        return f'<figure><div class="{kind}">{self._image()}</div>{caption}</figure>'

    def _image(self) -> str:
        if isinstance(self.image, bytes):
            data = base64.b64encode(self.image).decode("ascii")
            return f'<img alt="{escape(self.alt)}" src="data:image/png;base64,{data}">'
        label = f'<svg role="img" aria-label="{escape(self.alt)}"'
        return self.image.replace("<svg", label, 1)


@dataclass(frozen=True, slots=True)
class CalloutBlock:
    """A box that is not overlooked: what was found and what to do; `command` is something to type."""

    severity: Severity
    text: str
    title: str = ""
    command: str = ""

    def html(self) -> str:
        """An `<aside>`, coloured by severity."""
        title = f"<strong>{escape(self.title)}</strong>" if self.title else ""
        command = f"<code>{escape(self.command)}</code>" if self.command else ""
        sign = f'<span aria-hidden="true">{_SIGNS[self.severity]}</span>'
        words = f"<div>{title}{TextBlock(self.text).html()}{command}</div>"
        return f'<aside class="{self.severity}" role="note">{sign}{words}</aside>'


@dataclass
class Page:
    """A report, section by section.

    >>> page = Page("Cancer", "569 rows").section("Classes", TableBlock(["class", "rows"], [["benign", 357]]))
    >>> "<script" in page.html()
    False
    """

    title: str
    subtitle: str = ""
    _sections: list[tuple[str, tuple[Block, ...]]] = field(default_factory=list)

    def section(self, title: str, *blocks: Block) -> Page:
        """Add a section; gives the page back."""
        self._sections.append((title, blocks))
        return self

    def html(self) -> str:
        """The whole file, with a table of contents where there is more than one section."""
        subtitle = f'<p class="subtitle">{escape(self.subtitle)}</p>' if self.subtitle else ""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{escape(self.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
            f"<header><h1>{escape(self.title)}</h1>{subtitle}</header>\n"
            f'<div class="columns">{self._contents()}<main>\n{self.body()}\n</main></div>\n'
            "<footer>Made by tabstudio. This file is complete in itself and loads nothing.</footer>\n"
            "</body>\n</html>\n"
        )

    def body(self) -> str:
        """The sections alone, for pages that have a frame of their own."""
        return "\n".join(
            f'<section id="{anchor}"><h2>{escape(title)}</h2>'
            f"{''.join(block.html() for block in blocks)}</section>"
            for anchor, (title, blocks) in zip(self._anchors(), self._sections, strict=True)
        )

    def _contents(self) -> str:
        if len(self._sections) < 2:
            return ""
        links = "".join(
            f'<li><a href="#{anchor}">{escape(title)}</a></li>'
            for anchor, (title, _) in zip(self._anchors(), self._sections, strict=True)
        )
        return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'

    def _anchors(self) -> list[str]:
        anchors: list[str] = []
        for title, _ in self._sections:
            word = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
            repeats = sum(a == word or a.startswith(f"{word}--") for a in anchors)
            anchors.append(f"{word}--{repeats + 1}" if repeats else word)
        return anchors
