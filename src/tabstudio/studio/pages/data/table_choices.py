"""The user's choices for a table (target, how it is read), kept in the page's address."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tabstudio.errors import ConfigError
from tabstudio.studio.services.tables.previews import READ_OPTIONS
from tabstudio.studio.ui.addresses import table_page


@dataclass
class TableChoices:
    """`options` are those of `train` that say how a table is read; what is left out is guessed."""

    table: str
    target: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, table: str, target: str, read: str) -> TableChoices:
        """Parse the choices in an address. Raises `ConfigError` where its options are no JSON object."""
        try:
            options = json.loads(read) if read else {}
        except ValueError:
            options = None
        if not isinstance(options, dict) or set(options) - set(READ_OPTIONS):
            raise ConfigError("the address of this page is damaged: open the table from the Data page again")
        return cls(table, target, options)

    @property
    def address(self) -> str:
        """The page's address with these choices."""
        choices = {"target": self.target, "read": json.dumps(self.options) if self.options else ""}
        query = urlencode({name: value for name, value in choices.items() if value})
        return table_page(self.table) + (f"?{query}" if query else "")

    def aim(self, target: str) -> None:
        """Choose another target; choices about the last one are dropped."""
        self.target = target
        for name in ("task", "positive"):
            self.options.pop(name, None)
        self._leave("drop", target)
        self._leave("keep", target)

    def set(self, name: str, value: object) -> None:
        """Choose an option, or with nothing leave it to be guessed."""
        if value in (None, "", [], {}):
            self.options.pop(name, None)
        else:
            self.options[name] = value

    def read_as(self, column: str, kind: str) -> None:
        """Read a column as a kind, or with '' as it is guessed."""
        kinds = {name: value for name, value in self.options.get("kind", {}).items() if name != column}
        self.set("kind", kinds | ({column: kind} if kind else {}))

    def use(self, column: str) -> None:
        """Use a column as a feature, also one that was taken for an id or a constant."""
        if not self._leave("drop", column):
            self.set("keep", [*self.options.get("keep", []), column])

    def leave_out(self, *columns: str) -> None:
        """Leave columns out of the features."""
        for column in columns:
            if not self._leave("keep", column) and column not in self.options.get("drop", []):
                self.set("drop", [*self.options.get("drop", []), column])

    def _leave(self, name: str, column: str) -> bool:
        columns = self.options.get(name, [])
        self.set(name, [one for one in columns if one != column])
        return column in columns
