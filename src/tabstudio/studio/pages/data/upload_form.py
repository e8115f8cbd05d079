"""The upload: a field for a file. The browser sends it to the REST API by `static/upload.js`."""

from __future__ import annotations

from nicegui import ui

from tabstudio.report.templates import render
from tabstudio.report.text_format import format_size
from tabstudio.studio.ui.frame import PageView


def upload_form(view: PageView) -> None:
    """Build the form; a viewer sees that it takes another role."""
    ui.add_head_html('<script src="/static/upload.js" defer></script>')
    limit = view.studio.options.upload_bytes
    allowed = view.who.may("editor")
    form = render(
        "tabstudio.studio", "upload_form.html", limit=limit, size=format_size(limit), allowed=allowed
    )
    ui.html(form, sanitize=False)
    if not allowed:
        ui.label("To upload takes the role editor.").classes("muted")
