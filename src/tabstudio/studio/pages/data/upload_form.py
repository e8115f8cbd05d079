"""The upload: a field for a file. The browser sends it to the REST API by `static/upload.js`."""

from __future__ import annotations

from html import escape

from nicegui import ui

from tabstudio.report.text_format import format_size
from tabstudio.studio.ui.frame import PageView

_FORM = """<form class="upload" data-limit="{limit}" data-limit-said="{said}">
<label for="upload-file">CSV or Parquet file, also packed (.gz, .zst, .bz2, .xz), of at most {said}</label>
<div class="row-wrap"><input type="file" id="upload-file" {disabled}>
<button type="submit" class="plain-button" disabled>Upload</button></div>
<progress max="1" value="0" hidden aria-label="Upload"></progress>
<p class="said muted" aria-live="polite"></p>
<div class="problem" role="alert" hidden></div>
<button type="button" class="plain-button replace" hidden>Replace it</button>
</form>"""


def upload_form(view: PageView) -> None:
    """Build the form; a viewer sees that it takes another role."""
    ui.add_head_html('<script src="/static/upload.js" defer></script>')
    limit = view.studio.options.upload_bytes
    allowed = view.who.may("editor")
    form = _FORM.format(limit=limit, said=escape(format_size(limit)), disabled="" if allowed else "disabled")
    ui.html(form, sanitize=False)
    if not allowed:
        ui.label("To upload takes the role editor.").classes("muted")
