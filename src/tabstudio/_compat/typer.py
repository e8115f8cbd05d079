"""Private names of typer: the classes of its own copy of click. Importing this imports typer."""

from typer._click.core import Context as Context
from typer._click.formatting import HelpFormatter as HelpFormatter
