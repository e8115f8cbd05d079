"""The first look at a table: computed piece by piece, when it is asked for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio._util.folder_output import write_all
from tabstudio.errors import ConfigError
from tabstudio.exploration import distribution, summary, terminal_text
from tabstudio.exploration.associations import Associations, associations
from tabstudio.exploration.column_arrays import Vectors
from tabstudio.exploration.summary import Summary
from tabstudio.options import ReadConfig
from tabstudio.report.text_format import shorten
from tabstudio.table import Finding, Table, check, read

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from tabstudio.report.page import Page
    from tabstudio.table.schema import Target


def explore(source: Any, *, target: str | None = None, config: ReadConfig | None = None) -> Exploration:
    """Look at a table before training on it.

    Parameters
    ----------
    source : path, frame, array or Table
        What `read` takes, or a table that has been read.
    target : str, optional
        The column to predict.
    config : ReadConfig, optional
        What overrides the guesses of `read`.

    Returns
    -------
    Exploration
        Types, counts, associations, charts and findings, each computed when it is asked for. It prints as
        text, shows as HTML in a notebook, and `save` writes a folder with one page.

    Raises
    ------
    DataError
        The table cannot be read, or has no such target.
    ConfigError
        An option does not fit the table.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"age": [31, 40, 28, 55] * 9, "paid": ["yes", "no", "yes", "no"] * 9})
    >>> explore(frame, target="paid").summary.classes["rows"].to_list()
    [18, 18]
    """
    if not isinstance(source, Table):
        return Exploration(read(source, target=target, config=config or ReadConfig()))
    of = source.schema.target
    if target is not None and (of is None or of.name != target):
        raise ConfigError(
            f"the table was read with {_target_text(of)}: read it again, read(source, target={target!r})"
        )
    return Exploration(source)


class Exploration:
    """Numbers, pictures, findings and the report of one table. Nothing is computed before it is asked for."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._vectors = Vectors(table)
        self._figures: dict[str, Figure] = {}
        self._images: dict[str, bytes] = {}

    @cached_property
    def summary(self) -> Summary:
        """Types and counts, describe, classes, missing values and associations, as frames."""
        numbers = summary.describe(self.table)
        columns = summary.types_and_counts(self.table, self._vectors, numbers)
        return Summary(
            rows=len(self.table),
            bytes=int(columns["bytes"].sum()),
            columns=columns,
            numbers=numbers,
            classes=self._classes,
            missing=summary.missing_values(self.table),
            associations=self._associations,
        )

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What to mind before training, the gravest first."""
        return check(self.table)

    @cached_property
    def picture_names(self) -> tuple[str, ...]:
        """The pictures that this table has, in the order of the report."""
        target, columns = self.table.schema.target, self._vectors.names
        of_target = (
            () if target is None else ("target",) if target.task == "regression" else ("class_counts",)
        )
        present = {
            "missing": any(series.null_count() for series in self.table.frame),
            "associations": len(columns) + (target is not None) > 1,
            "distributions": len(columns) > 0,
        }
        return (*of_target, *(name for name, is_there in present.items() if is_there and len(self.table)))

    def picture(self, name: str) -> Figure:
        """One picture. Raises `ConfigError` where this table has none of that name."""
        if name not in self.picture_names:
            shown = ", ".join(self.picture_names) or "none"
            raise ConfigError(f"there is no picture {name!r} of {self.table.source.name}: there are {shown}")
        if name not in self._figures:
            self._figures[name] = getattr(self, f"_draw_{name}")()
        return self._figures[name]

    def image(self, name: str) -> bytes:
        """One picture as PNG, drawn once. Raises `ConfigError` as `picture` does."""
        from tabstudio.report.figure import png

        if name not in self._images:
            self._images[name] = png(self.picture(name))
        return self._images[name]

    def pictures(self) -> dict[str, Figure]:
        """All pictures by name."""
        return {name: self.picture(name) for name in self.picture_names}

    @cached_property
    def drawable(self) -> tuple[str, ...]:
        """The columns that have a distribution, the ones most associated with the target first."""
        strengths = self._associations.with_target
        return self._vectors.names if strengths is None else tuple(strengths["column"])

    @property
    def drawn(self) -> tuple[str, ...]:
        """The columns whose distributions are drawn: the first 36 of `drawable`."""
        return self.drawable[: distribution.PANELS]

    def panels(self, most: int) -> tuple[distribution.Panel, ...]:
        """How the first `most` columns of `drawable` spread, in numbers, over the groups of `groups`."""
        return tuple(distribution.panel(self._vectors, name, self.groups) for name in self.drawable[:most])

    @cached_property
    def groups(self) -> distribution.Groups:
        """The rows' groups by which columns are drawn: the target's classes, or all rows as one."""
        return distribution.groups(self._vectors)

    @cached_property
    def target_panel(self) -> distribution.Panel | None:
        """How the target of a regression spreads over all rows; None for every other table."""
        target = self.table.schema.target
        if target is None or target.task != "regression":
            return None
        alone = distribution.Groups(("all rows",), self.groups.codes)
        return distribution.histogram(self._vectors, target.name, self._vectors.values(target.name), alone)

    def text(self) -> str:
        """The exploration for a terminal: plain lines, no colours."""
        return terminal_text.text(self)

    def page(self) -> Page:
        """The report, to be extended or written."""
        from tabstudio.exploration.page import page

        return page(self)

    def html(self) -> str:
        """The report as one self-contained HTML file."""
        return self.page().html()

    def save(self, folder: str | Path) -> Path:
        """Write `report.html` and the pictures as PNG into the folder; gives the report's path.

        Raises `TabstudioError` where that fails; then no file of the folder has changed.
        """
        files = {f"{name}.png": self.image(name) for name in self.picture_names}
        files["report.html"] = self.html().encode("utf-8")
        write_all(Path(folder), files)
        return Path(folder) / "report.html"

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from tabstudio.exploration.page import notebook

        return notebook(self)

    @cached_property
    def _classes(self) -> pl.DataFrame | None:
        return summary.class_counts(self.table)

    @cached_property
    def _associations(self) -> Associations:
        return associations(self._vectors)

    @cached_property
    def _panels(self) -> tuple[distribution.Panel, ...]:
        return self.panels(distribution.PANELS)

    def _draw_class_counts(self) -> Figure:
        from tabstudio.exploration import charts

        assert self._classes is not None  # `picture_names` says so
        return charts.class_counts(self._classes, self._target_name)

    def _draw_target(self) -> Figure:
        from tabstudio.exploration import charts

        assert self.target_panel is not None  # `picture_names` says so
        return charts.target_histogram(self.target_panel)

    def _draw_missing(self) -> Figure:
        from tabstudio.exploration import charts

        return charts.missing_values(summary.missing_values(self.table))

    def _draw_associations(self) -> Figure:
        from tabstudio.exploration import charts

        return charts.associations(self._associations)

    def _draw_distributions(self) -> Figure:
        from tabstudio.exploration import charts

        return charts.distributions(self._panels, self.groups, self._notes(), self._distribution_title())

    def _notes(self) -> dict[str, str]:
        strengths = self._associations.with_target
        if strengths is None:
            return {}
        short = {"Pearson's r": "r", "Cramér's V": "V", "correlation ratio": "η"}
        rows = strengths.iter_rows()
        return {
            name: f"{short[measure]} {round(value, 2) + 0.0:.2f}"
            for name, value, measure in rows
            if value == value
        }

    def _distribution_title(self) -> str:
        target = self.table.schema.target
        if target is None:
            return "Distributions"
        if target.task == "regression":
            return f"Mean of {shorten(target.name, 40)}, with its standard deviation"
        return f"Distributions by {shorten(target.name, 40)}"

    @property
    def _target_name(self) -> str:
        return self.table.schema.target.name if self.table.schema.target is not None else ""


def _target_text(target: Target | None) -> str:
    return "no target" if target is None else f"the target {target.name!r}"
