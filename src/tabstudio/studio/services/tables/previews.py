"""Previews of tables on demand, made by processes of their own, kept until the table changes."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from tabstudio.errors import ConfigError, DataError, TabstudioError
from tabstudio.options import configure
from tabstudio.studio.access.roles import Actor
from tabstudio.studio.services.tables.table_folder import TableEntry, TableFolder

PreviewPart = Literal["schema", "findings", "charts"]
READ_OPTIONS = ("separator", "encoding", "missing", "kind", "drop", "keep", "task", "positive")
"""Options of `train` that say how a table is read."""
SECONDS = 180.0
"""A preview that takes longer is ended."""
AT_ONCE = 2
_KEPT = 32
_LONGEST_LINE = 1 << 28
_ERRORS: dict[str, type[TabstudioError]] = {"DataError": DataError, "ConfigError": ConfigError}
log = logging.getLogger("tabstudio.studio")


class TablePreview:
    """The preview of one table, read in one way. Its parts come one by one."""

    def __init__(self, path: Path, target: str | None, options: Mapping[str, object]) -> None:
        self._request = {"path": str(path), "target": target, "options": dict(options)}
        self._parts: dict[str, dict[str, object]] = {}
        self._error: TabstudioError | None = None
        self._changed = asyncio.Condition()
        self._over = False

    @property
    def failed(self) -> bool:
        """Whether it has ended without all of its parts."""
        return self._error is not None

    async def part(self, name: PreviewPart) -> dict[str, object]:
        """Wait for a part and return it: one of `preview_types`, findings as `{"findings": [...]}`.

        Raises `DataError`, `ConfigError` as `read` does, `TabstudioError` where it took too long or ended.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: name in self._parts or self._over)
        if name in self._parts:
            return self._parts[name]
        raise self._error or TabstudioError("the look at the table has ended: open the page again")

    async def run(self, turn: asyncio.Semaphore) -> None:
        """Make the preview, when it is its turn."""
        try:
            async with turn:
                await self._make()
        except TabstudioError as error:
            self._error = error
        finally:
            self._over = True
            async with self._changed:
                self._changed.notify_all()

    async def _make(self) -> None:
        command = [sys.executable, "-P", "-m", "tabstudio.studio.services.tables.preview_process"]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=_LONGEST_LINE
        )
        try:
            async with asyncio.timeout(SECONDS):
                errors, _ = await asyncio.gather(process.stderr.read(), self._receive(process))  # type: ignore[union-attr]
        except TimeoutError:
            raise TabstudioError(
                f"looking at the table took more than {SECONDS:g} s: leave columns out, or look at a part of "
                "its rows; it can be trained on all the same"
            ) from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.gather(process.stdout.read(), process.stderr.read(), process.wait())  # type: ignore[union-attr]
        if self._error is None and process.returncode != 0:
            log.error("a look ended with status %s: %s", process.returncode, errors.decode(errors="replace"))
            raise TabstudioError(
                "looking at the table was ended by the system: it may need more memory than there is"
                if (process.returncode or 0) < 0
                else "looking at the table failed by a fault of tabstudio's own: the studio's log tells more"
            )

    async def _receive(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(self._request).encode())
        process.stdin.close()
        async for line in process.stdout:
            part = json.loads(line)
            name = part.pop("part")
            if name == "error":
                self._error = _ERRORS.get(part["kind"], TabstudioError)(part["text"])
                continue
            async with self._changed:
                self._parts[name] = part
                self._changed.notify_all()


class TablePreviews:
    """All previews of the tables of one folder. For one event loop."""

    def __init__(self, tables: TableFolder) -> None:
        self.tables = tables
        self._previews: OrderedDict[Hashable, tuple[TablePreview, asyncio.Task[None]]] = OrderedDict()
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def open(
        self, name: str, target: str | None = None, options: Mapping[str, Any] | None = None
    ) -> TablePreview:
        """Return the preview of a table by name, begun or kept; `options` are those of `READ_OPTIONS`.

        Raises `DataError` where there is no such table, `ConfigError` for options that do not exist.
        """
        options = dict(options or {})
        configure(**options)
        if further := sorted(set(options) - set(READ_OPTIONS)):
            raise ConfigError(f"option {further[0]}: it does not say how a table is read")
        path = await asyncio.to_thread(self.tables.find, name)
        return await self._at(path, target, options)

    async def upload(
        self, who: Actor, name: str, blocks: AsyncIterator[bytes], *, replace: bool = False
    ) -> TableEntry:
        """Take in a table, once it was read and found to be one.

        Raises `ForbiddenError` for a viewer, else what `TableFolder.receive` raises.
        """
        who.check("editor", "upload a table")

        async def check(path: Path) -> None:
            await asyncio.to_thread(self.tables.check_packing, path)
            await (await self._at(path, None, {})).part("schema")

        return await self.tables.receive(name, blocks, check, replace=replace)

    async def _at(self, path: Path, target: str | None, options: dict[str, object]) -> TablePreview:
        about = await asyncio.to_thread(path.stat)
        # The file, not its name: what was looked at when it came is known under the name that it gets.
        file = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        key = (file, target, json.dumps(options, sort_keys=True))
        known = self._previews.pop(key, None)
        if known is None or known[0].failed:
            preview = TablePreview(path, target, options)
            known = preview, asyncio.create_task(preview.run(self._turn), name="preview of a table")
        self._previews[key] = known
        while len(self._previews) > _KEPT:
            self._previews.popitem(last=False)
        return known[0]

    async def close(self) -> None:
        """End the processes that make previews."""
        for _, task in self._previews.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._previews.values()), return_exceptions=True)
