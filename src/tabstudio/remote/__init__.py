"""The REST contract of the studio: paths, codes of refusals, shapes of its JSON, and its client.

`tabstudio.studio.api` serves it, `tabstudio.cli` asks through the client.
"""
