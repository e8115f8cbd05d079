"""Keeps every figure that is shown or saved with matplotlib, seaborn's and pandas' too."""

from __future__ import annotations

import io
import re
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tabstudio._compat.matplotlib import numbered_figure
from tabstudio.autologging.events import Observer
from tabstudio.autologging.instrument.patches import Patches

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    from tabstudio.autologging.launch.session import AutologSession

_NO_SCREEN = ".*non-interactive, and thus cannot be shown"
_LONGEST_NAME = 60
_READERS = ("get_title", "get_xlabel", "get_ylabel", "get_xlim", "get_ylim", "get_text")


@dataclass
class _KnownFigure:
    """State of a figure when last shown or saved: the checksum of its look, and its parts."""

    look: int = 0
    shown: weakref.WeakSet[Artist] = field(default_factory=weakref.WeakSet)


class FigureObserver(Observer):
    """Keeps a figure once for each look that it is shown or saved with.

    On a screen a figure is gone when its window is closed, and what is drawn next is another figure. Without
    a screen it stays, and what is drawn next comes on top of it: then only what is new since it was last
    shown is drawn for the picture that is kept. The user's figure stays as it is.
    """

    name = "figures"

    def install(self, session: AutologSession) -> None:
        """Wrap the functions that show and save figures: there are no hooks for them."""
        self._session = session
        self._patches = Patches()
        self._known = weakref.WeakKeyDictionary[object, _KnownFigure]()
        self._names: set[str] = set()
        self._count = 0
        session.imports.when("matplotlib.pyplot", self._watch_pyplot)
        session.imports.when("matplotlib_inline.backend_inline", self._watch_notebook)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def _watch_pyplot(self, pyplot: ModuleType) -> None:
        self._pyplot = pyplot
        figure_class = pyplot.Figure
        keep_all = self._session.guarded(self, self._shown)
        show, show_one, self._save = pyplot.show, figure_class.show, figure_class.savefig
        keep_saved = self._session.guarded(self, self._saved)

        def watched_show(*args: object, **kwargs: object) -> object:
            keep_all()
            with _without_screen():
                return show(*args, **kwargs)

        def watched_show_one(figure: Figure, *args: object, **kwargs: object) -> object:
            keep_all([figure])
            with _without_screen():
                return show_one(figure, *args, **kwargs)

        save = self._save

        def watched_save(figure: Figure, fname: object, *args: object, **kwargs: object) -> object:
            result = save(figure, fname, *args, **kwargs)
            keep_saved(figure, fname)
            return result

        for owner, name, watched in (
            (pyplot, "show", watched_show),
            (figure_class, "show", watched_show_one),
            (figure_class, "savefig", watched_save),
        ):
            watched.__doc__, watched.__name__ = getattr(owner, name).__doc__, name
            self._patches.set(owner, name, watched)

    def _watch_notebook(self, backend: ModuleType) -> None:
        """Wrap the function with which a notebook shows the figures of a cell at its end."""
        show: Callable[..., object] = backend.show
        keep_all = self._session.guarded(self, self._shown)

        def watched_show(*args: object, **kwargs: object) -> object:
            keep_all()
            return show(*args, **kwargs)

        vars(watched_show).update(vars(show))
        self._patches.set(backend, "show", watched_show)

    def _shown(self, figures: list[Figure] | None = None) -> None:
        if figures is None:
            numbers = self._pyplot.get_fignums()
            figures = [numbered_figure(self._pyplot, number) for number in numbers]
        for figure in figures:
            known = self._known.setdefault(figure, _KnownFigure())
            if figure.axes and _look(figure) != known.look:
                with _only_new(figure, known.shown):
                    self._keep(self._name(figure), self._png(figure))
            known.look = _look(figure)
            known.shown = weakref.WeakSet(_parts(figure))

    def _saved(self, figure: Figure, target: object) -> None:
        known = self._known.setdefault(figure, _KnownFigure())
        look = _look(figure)
        if look == known.look:
            return
        known.look = look
        path = Path(target) if isinstance(target, str | Path) else None
        if path is not None and not path.suffix:
            path = path.with_suffix(f".{self._pyplot.rcParams['savefig.format']}")
        if path is not None and path.is_file():
            self._keep(path.name, path)
        else:
            self._keep(self._name(figure), self._png(figure))

    def _png(self, figure: Figure) -> bytes:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._save(figure, buffer, format="png")
        return buffer.getvalue()

    def _keep(self, name: str, picture: Path | bytes) -> None:
        stem, dot, suffix = name.rpartition(".")
        free, number = name, 1
        while free in self._names:
            number += 1
            free = f"{stem}-{number}{dot}{suffix}"
        self._names.add(free)
        self._session.run.artifact(picture, f"figures/{free}")

    def _name(self, figure: Figure) -> str:
        """Called after its title, else its label, else its number."""
        self._count += 1
        titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes), figure.get_label()]
        words = next((str(title) for title in titles if title), "")
        slug = re.sub(r"[^\w.]+", "-", words).strip("-._").lower()[:_LONGEST_NAME]
        return f"{slug or f'figure-{self._count}'}.png"


@contextmanager
def _without_screen() -> Iterator[None]:
    """Silence matplotlib's warning that there is no screen: the picture is kept in the run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _NO_SCREEN, UserWarning)
        yield


def _parts(figure: Figure) -> list[Artist]:
    """Iterate over the axes of a figure and what is drawn in them."""
    parts: list[Artist] = []
    for axes in figure.axes:
        own = [*axes.lines, *axes.patches, *axes.collections, *axes.texts, *axes.images, *axes.tables]
        parts += [axes, *own, *axes.artists, *filter(None, [axes.get_legend()])]
    return parts


@contextmanager
def _only_new(figure: Figure, shown: weakref.WeakSet[Artist]) -> Iterator[None]:
    """Hide what was shown before, where something new was drawn beside it."""
    parts = _parts(figure)
    new = [part for part in parts if part not in shown]
    alive = {id(part.axes) for part in new} | {id(part) for part in new}
    old = [part for part in parts if part in shown and part.get_visible() and id(part) not in alive]
    hidden = old if new else []
    for part in hidden:
        part.set_visible(False)
    try:
        yield
    finally:
        for part in hidden:
            part.set_visible(True)


def _look(figure: Figure) -> int:
    """Return a checksum of what can be seen: curves, colours, positions, texts, limits."""
    import numpy as np

    look = zlib.crc32(repr(figure.get_suptitle()).encode())
    for part in _parts(figure):
        facts: list[object] = [id(part), part.get_visible()]
        facts += [str(getattr(part, reader, str)()) for reader in _READERS]
        look = zlib.crc32(repr(facts).encode(), look)
        for reader in ("get_xydata", "get_offsets", "get_array"):
            values: npt.ArrayLike = getattr(part, reader, list)()
            look = zlib.crc32(np.ascontiguousarray(np.ma.getdata(values)).tobytes(), look)
    return look
