"""The elements that every page is made of: headings, cards, figures, messages, dialogs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from nicegui import ui

_HEADING = re.compile(r"^(#+ )", re.MULTILINE)


def heading(text: str, subtitle: str = "") -> None:
    """The one first-level heading of a page, and a sentence below it."""
    with ui.element("div").classes("heading"):
        tag("h1", text)
        if subtitle:
            tag("p", subtitle).classes("muted")


def tag(name: str, text: str) -> ui.element:
    """An HTML element that holds text; whatever the text, it is never read as markup."""
    with ui.element(name) as element:
        ui.label(text).classes("inline")
    return element


@contextmanager
def section(title: str, note: str = "") -> Iterator[ui.element]:
    """A card with a second-level heading; announced to screen readers by it."""
    with ui.element("section").classes("section") as card:
        if title:
            tag("h2", title)
        if note:
            tag("p", note).classes("muted")
        yield card


@contextmanager
def folded(title: str) -> Iterator[ui.element]:
    """A part of the page that a reader opens."""
    with ui.element("details").classes("numbers") as details:
        tag("summary", title)
        yield details


@contextmanager
def dialog_card(title: str, more: str = "") -> Iterator[ui.dialog]:
    """A dialog under its title, removed once it is closed."""
    with ui.dialog() as dialog, ui.element("div").classes(f"q-card question {more}"):
        dialog.props["aria-label"] = title
        dialog.on("hide", dialog.delete)
        tag("h2", title)
        yield dialog


def facts(values: Mapping[str, object], more: str = "") -> dict[str, ui.label]:
    """A few numbers with their names, large; return the label of each number, to be updated."""
    with ui.element("dl").classes(f"facts {more}"):
        return {name: _fact(name, str(value)) for name, value in values.items()}


def _fact(name: str, value: str) -> ui.label:
    with ui.element("div"):
        tag("dt", name)
        with ui.element("dd"):
            return ui.label(value).classes("inline")


def table_head(headers: Iterable[str]) -> None:
    """The first row of a table."""
    with ui.element("thead"), ui.element("tr"):
        for header in headers:
            with ui.element("th").props('scope="col"'):
                ui.label(header)


def problem(text: str) -> None:
    """An error message in place of what it prevents."""
    with ui.element("div").classes("problem").props('role="alert"'):
        ui.label(text)


def empty(text: str) -> None:
    """A note in place of an empty list."""
    ui.label(text).classes("nothing")


def markdown(text: str, more: str = "") -> ui.markdown:
    """Markdown below the headings of a page; the browser removes what is not harmless."""
    return ui.markdown(_HEADING.sub(r"##\1", text)).classes(f"card-text {more}")


def badge(text: str, tone: str = "") -> ui.label:
    """A word in a colored frame; `tone` is good, warning, danger or nothing: color never stands alone."""
    return ui.label(text).classes(f"badge {tone}")


def set_badge(label: ui.label, text: str, tone: str) -> None:
    """Show another word in a badge."""
    label.text = text
    label.classes(replace=f"badge {tone}")
