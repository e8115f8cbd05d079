"""Text to be copied, with the button that copies it."""

from __future__ import annotations

from nicegui import ui

# In the browser: to write to the clipboard takes the click itself. Off loopback without HTTPS there is none.
_COPY = """async (event) => {
  const around = event.target.closest('.copied'), text = around.querySelector('.code').innerText;
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else { getSelection().selectAllChildren(around.querySelector('.code')); document.execCommand('copy'); }
  around.querySelector('[aria-live]').innerText = 'copied';
}"""


def copyable_command(text: str) -> ui.label:
    """A command in a frame, and a button that copies what stands there when it is pressed."""
    with ui.element("div").classes("copied"):
        label = ui.label(text).classes("code")
        with ui.element("div").classes("row-wrap"):
            ui.button("Copy").props("flat dense no-caps").on("click", js_handler=_COPY)
            ui.label("").classes("muted").props('aria-live="polite"')
    return label
