"""HTML from Jinja2 templates: every value is escaped, and a missing one is an error.

A package keeps its templates, as files, in a folder `templates`. Jinja2 takes a tenth of a second to import,
so it is imported by the first page.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tabstudio.report.text_format import format_value, shorten

if TYPE_CHECKING:
    from jinja2 import Environment


def render(package: str, template: str, /, **values: object) -> str:
    """Fill the template of that name in `package`. Only a `markupsafe.Markup` is not escaped.

    Templates may use the filters `format_value` and `shorten`.

    >>> links = [("<b>", "/b")]
    >>> page = render("tabstudio.serving", "prediction_index.html", title="", style="", models=links)
    >>> "<b>" in page, "&lt;b&gt;" in page
    (False, True)
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"format_value": format_value, "shorten": shorten}
    return environment
