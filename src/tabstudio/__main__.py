"""`python -m tabstudio` is the command `tabstudio`."""

from tabstudio.cli import main

main()
