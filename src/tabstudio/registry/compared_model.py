"""A model that is compared, judged or reproduced: its bundle, read as far as is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tabstudio.errors import ConfigError, DataError, ModelError
from tabstudio.model.bundle import BundleRecord, Factory, record
from tabstudio.model.predictor import load
from tabstudio.model.row_evidence import RowEvidence
from tabstudio.options import TrainConfig, configure
from tabstudio.table.schema import Target
from tabstudio.table.table import Table

if TYPE_CHECKING:
    from tabstudio.model.predictor import Model


@dataclass(frozen=True)
class ComparedModel:
    """A model by its address and the local folder of its bundle.

    Its record is read at once where it is asked for; torch is imported only where the `model` is. `network`
    is the factory of a model that was trained with one.
    """

    address: str
    folder: Path
    network: Factory | None = None

    @cached_property
    def record(self) -> BundleRecord:
        """What the bundle says, checked against its manifest. Raises `ModelError` where it is damaged."""
        return record(self.folder)

    @cached_property
    def model(self) -> Model:
        """The model itself. Raises `ModelError` where it is damaged or its factory is missing."""
        return load(self.folder, self.network)

    @cached_property
    def config(self) -> TrainConfig:
        """The configuration that ran.

        Raises `ModelError` where this tabstudio does not know one of its options.
        """
        try:
            return configure(**self.record.config)
        except ConfigError as error:
            raise ModelError(
                f"model {self.address}: its configuration is of another tabstudio: {error}"
            ) from error

    @property
    def target(self) -> Target:
        """What it predicts."""
        assert self.record.schema.target is not None
        return self.record.schema.target

    @property
    def evidence(self) -> RowEvidence:
        """What it keeps of its rows. Raises `ModelError` where it keeps nothing."""
        if self.record.evidence is None:
            raise ModelError(
                f"model {self.address}: it keeps no record of its rows, so that nobody can say which ones it "
                "was trained on; models that `tabstudio train` makes keep one"
            )
        return self.record.evidence

    @property
    def data(self) -> Mapping[str, Any]:
        """What is known of the table that it was trained on; empty where nothing is."""
        data: Mapping[str, Any] = self.record.report.get("data", {})
        return data

    @property
    def threshold(self) -> float | None:
        """The probability from which on a row is called positive."""
        value = self.record.network["threshold"]
        return None if value is None else float(value)

    def table(self, data: str | Path | None = None) -> Table:
        """Return the very table that it was trained on, from where it lay or from `data`.

        Raises `DataError` where it is not there any more, or its content is another one.
        """
        from tabstudio.table.reader import read

        source = str(data or self.data.get("source", ""))
        if not source:
            raise DataError(
                f"model {self.address}: its table was not a file, so it cannot be read again: write the same "
                "rows to a file and name it with --data"
            )
        try:
            table = read(source, target=self.target.name, config=self.config.read)
        except (DataError, ConfigError) as error:
            way_out = "" if data else "; if it has moved, name it with --data"
            raise DataError(f"model {self.address}: its table cannot be read: {error}{way_out}") from error
        expected = self.data.get("fingerprint", "")
        if table.fingerprint != expected:
            raise DataError(
                f"model {self.address}: {source} is not the table that it was trained on: "
                f"{_row_count(self.data)} of fingerprint {expected[:12]} were expected, "
                f"it holds {len(table):,} of {table.fingerprint[:12]}; "
                "find the former file and name it with --data"
            )
        return table

    def test_rows(self, columns: tuple[str, ...]) -> pl.DataFrame:
        """Return these columns of the rows that its evidence is about, from the very table.

        Raises `DataError` where the table is gone or changed, `ConfigError` for a column it does not have.
        """
        table = self.table()
        return table.frame[self.evidence.numbers].select([table.column(name) for name in columns])


def _row_count(data: Mapping[str, object]) -> str:
    rows = data.get("rows")
    return "rows" if rows is None else f"{rows:,} rows"
