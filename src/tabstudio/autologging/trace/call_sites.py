"""Where in the user's code something happens: the loops around it, from the outermost to the innermost.

A loop is found in the bytecode of each frame on the stack, so it does not matter over what it goes, or
whether the source is at hand (a notebook's cell, a script piped in). The value of its variable tells one
iteration from the next.
"""

from __future__ import annotations

import dis
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType

import tabstudio

_SKIPPED_PACKAGES = (
    "IPython",
    "_pytest",
    "accelerate",
    "click",
    "execnet",
    "ipykernel",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "nbclient",
    "pluggy",
    "pytorch_lightning",
    "tabstudio",
    "torch",
    "tornado",
    "tqdm",
    "typer",
    "xdist",
)
_READING_LOCALS = ("locals", "vars", "eval", "exec", "dir")
_PLAIN = (int, str, float)
_STORES = ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF")


class _InCode:
    """Compared by the code object itself: a notebook's cell that is run again is another one."""

    __slots__ = ()
    code: CodeType
    start: int

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(self) is type(other) and self.code is other.code and self.start == other.start
        )

    def __hash__(self) -> int:
        return hash((id(self.code), self.start))


@dataclass(frozen=True, eq=False, slots=True)
class CodeLoop(_InCode):
    """A loop: the bytecode from `start` to `end`; `name` is its variable, '' where it has none."""

    code: CodeType
    start: int
    end: int
    name: str
    is_global: bool


@dataclass(frozen=True, eq=False, slots=True)
class CodeCall(_InCode):
    """A place in the code from which the next frame was called."""

    code: CodeType
    start: int


Entry = tuple[CodeLoop | CodeCall, object]
"""A loop with the value of its variable (None where it cannot be told), or a call with None."""


@dataclass(slots=True, unsafe_hash=True)
class CallSite:
    """The loops and calls around a point of execution, outermost first; the last one is the point itself."""

    entries: tuple[Entry, ...]

    @property
    def loops(self) -> list[tuple[CodeLoop, object]]:
        """Return the loops without the calls."""
        return [(where, value) for where, value in self.entries if isinstance(where, CodeLoop)]

    @property
    def point(self) -> CodeCall | None:
        """Return the innermost call."""
        where = self.entries[-1][0] if self.entries else None
        return where if isinstance(where, CodeCall) else None


@dataclass(frozen=True, slots=True)
class _Point:
    """What is always the same at one instruction: the loops around it, and itself as an entry.

    `by_frame` says that a loop's variable is a local of its frame, `snapshot` that reading locals leaves a
    copy of them behind.
    """

    loops: tuple[CodeLoop, ...]
    entry: Entry
    by_frame: bool
    snapshot: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a code object: its points by offset where it is the user's, None where it is not.

    The code is kept, so that no other one takes its place in memory. `roots` says that nothing around it is
    the user's: it is ours, and runs the whole script.
    """

    code: CodeType
    points: dict[int, _Point] | None
    roots: bool


_MOST_KNOWN = 8192
_KNOWN: dict[int, _Known] = {}
"""By the identity of code objects: their own hash goes through all of their constants."""

NOWHERE = CallSite(())


def call_site(frame: FrameType | None) -> CallSite:
    """Return the place of a frame that is being executed."""
    entries: list[Entry] = []  # innermost first
    while frame is not None:
        code = frame.f_code
        known = _KNOWN.get(id(code)) or _look(code)
        if known.points is not None:
            offset = frame.f_lasti
            point = known.points.get(offset) or _static(known, offset)
            entries.append(point.entry)
            if point.loops:
                entries += _values(frame, point)
        elif known.roots:
            break
        frame = frame.f_back
    entries.reverse()
    return CallSite(tuple(entries))


class CallPath:
    """The way to a point of execution: seen again at less cost than its `site` is found.

    Of the loops around, those among the first `fixed` entries of the place have to be in the same iteration.
    """

    def __init__(self, frame: FrameType | None, site: CallSite, fixed: int) -> None:
        self.site = site
        self._frames: list[tuple[CodeType, int, _Point | None, list[tuple[str, object]]]] = []
        left = list(site.entries)
        while frame is not None and left:
            code, offset = frame.f_code, frame.f_lasti
            known = _KNOWN.get(id(code)) or _look(code)
            point = None if known.points is None else known.points[offset]
            loops = []
            for _ in () if point is None else (point.entry, *point.loops):
                where, value = left.pop()
                if isinstance(where, CodeLoop) and len(left) < fixed:
                    loops.append((where.name, value))
            self._frames.append((code, offset, point, loops))
            frame = frame.f_back

    def leads_to(self, frame: FrameType | None) -> bool:
        """Say whether a frame that is being executed is at the same point."""
        for code, offset, point, loops in self._frames:
            if frame is None or frame.f_code is not code or frame.f_lasti != offset:
                return False
            if loops and point is not None:
                names, same = frame.f_locals if point.by_frame else frame.f_globals, True
                for name, value in loops:
                    now = names.get(name)
                    same = same and isinstance(now, _PLAIN) and now == value
                if point.by_frame and point.snapshot:
                    _forget(names)
                if not same:
                    return False
            frame = frame.f_back
        return True


def user_frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Iterate over the frames of the user's code, innermost first."""
    while frame is not None:
        if (_KNOWN.get(id(frame.f_code)) or _look(frame.f_code)).points is not None:
            yield frame
        frame = frame.f_back


def around(code: CodeType, offset: int) -> tuple[CodeLoop, ...]:
    """Return the loops around an instruction, outermost first."""
    return tuple(loop for loop in loops_of(code) if loop.start <= offset < loop.end)


def _static(known: _Known, offset: int) -> _Point:
    assert known.points is not None
    code = known.code
    loops = _named_apart(list(around(code, offset)))
    by_frame = any(loop.name and not loop.is_global for loop in loops)
    point = _Point(loops[::-1], (CodeCall(code, offset), None), by_frame, _is_snapshot(code))
    known.points[offset] = point
    return point


def _values(frame: FrameType, point: _Point) -> list[Entry]:
    if not point.by_frame:
        return [(loop, _plain(frame.f_globals.get(loop.name))) for loop in point.loops]
    names = frame.f_locals
    entries: list[Entry] = [(loop, _plain(names.get(loop.name))) for loop in point.loops]
    if point.snapshot:
        _forget(names)
    return entries


def locals_of(frame: FrameType) -> dict[str, object]:
    """Return a copy of a frame's local names, which lives no longer than its reader."""
    names = frame.f_locals
    copy = dict(names)
    if _is_snapshot(frame.f_code):
        _forget(names)
    return copy


def _named_apart(loops: list[CodeLoop]) -> tuple[CodeLoop, ...]:
    """Of `for _ in ...: for _ in ...:` the outer variable cannot be read inside the inner loop."""
    inner: set[str] = set()
    apart: list[CodeLoop] = []
    for loop in reversed(loops):
        apart.append(replace(loop, name="") if loop.name in inner else loop)
        inner.add(loop.name)
    return tuple(reversed(apart))


def _forget(names: dict[str, object]) -> None:
    """Empty the copy of the locals that Python made for us.

    Before Python 3.13 it lives as long as the frame, and would keep the user's tensors alive. It is left
    alone where the user's code, or a debugger, may hold the same copy.
    """
    if sys.gettrace() is None:
        names.clear()


@lru_cache(maxsize=1024)
def _is_snapshot(code: CodeType) -> bool:
    """Say whether reading a frame's locals makes a copy of them that nobody but us can know of."""
    copied = sys.version_info < (3, 13) and bool(code.co_flags & inspect.CO_OPTIMIZED)
    return copied and not set(_READING_LOCALS) & set(code.co_names)


def _plain(value: object) -> object:
    return value if isinstance(value, _PLAIN) else None


@lru_cache(maxsize=1024)
def loops_of(code: CodeType) -> tuple[CodeLoop, ...]:
    """Find the loops of a code object, outer ones before inner ones."""
    loops: dict[int, CodeLoop] = {}
    instructions = list(dis.get_instructions(code))
    begins = _beginnings(instructions)
    for number, instruction in enumerate(instructions):
        if instruction.opname == "FOR_ITER":
            name, is_global = _variable(instructions, number + 1)
            end = int(instruction.argval)
            loops[instruction.offset] = CodeLoop(code, instruction.offset, end, name, is_global)
        elif _jumps_back(instruction):
            start = begins.get(instruction.argval, instruction.argval)
            if start not in loops or not loops[start].name:  # the last jump to a start reaches furthest
                end = max(instruction.offset + 2, loops[start].end if start in loops else 0)
                loops[start] = CodeLoop(code, start, end, "", False)
    return _joined(sorted(loops.values(), key=lambda loop: (loop.start, -loop.end)))


def _joined(loops: list[CodeLoop]) -> tuple[CodeLoop, ...]:
    """A `while` with a `continue` is repeated from two points, its test and its body: that is one loop."""
    joined: list[CodeLoop] = []
    for loop in loops:
        before = joined[-1] if joined else None
        overlaps = before is not None and loop.start < before.end <= loop.end
        if before is not None and overlaps and not before.name and not loop.name:
            joined[-1] = replace(before, end=loop.end)
        else:
            joined.append(loop)
    return tuple(joined)


def _beginnings(instructions: list[dis.Instruction]) -> dict[int, int]:
    """Map the beginning of each `for`, where the prefixes of a long jump stand, to the instruction itself."""
    begins: dict[int, int] = {}
    prefixes: list[int] = []
    for instruction in instructions:
        if instruction.opname == "EXTENDED_ARG":
            prefixes.append(instruction.offset)
            continue
        if instruction.opname == "FOR_ITER":
            begins |= dict.fromkeys(prefixes, instruction.offset)
        prefixes = []
    return begins


def _jumps_back(instruction: dis.Instruction) -> bool:
    return "BACKWARD" in instruction.opname and instruction.opname != "JUMP_BACKWARD_NO_INTERRUPT"


def _variable(instructions: list[dis.Instruction], at: int) -> tuple[str, bool]:
    """Return the first name that the loop assigns to: `i` of `for i, (x, y) in enumerate(batches)`."""
    for instruction in instructions[at : at + 4]:
        if instruction.opname in _STORES:
            is_global = instruction.opname in ("STORE_NAME", "STORE_GLOBAL")
            return str(instruction.argval), is_global
        if instruction.opname.startswith("STORE_FAST"):  # 3.13 joins two into one instruction
            names = instruction.argval
            return str(names[0] if isinstance(names, tuple) else names), False
        if not instruction.opname.startswith(("UNPACK", "EXTENDED", "CACHE")):
            break
    return "", False


def _look(code: CodeType) -> _Known:
    if len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.clear()
    users = is_user_file(code.co_filename)
    roots = code.co_name == RUNS_SCRIPTS and code.co_filename.startswith(_OURS)
    known = _KNOWN[id(code)] = _Known(code, {} if users else None, roots)
    return known


def is_user_file(path: str) -> bool:
    """Say whether a file holds code of the user, not of a library."""
    if path.startswith("<frozen"):
        return False
    root = f"{os.sep}site-packages{os.sep}"
    if root in path:
        package = path.rpartition(root)[2].partition(os.sep)[0].removesuffix(".py")
        return package not in _SKIPPED_PACKAGES
    return not path.startswith(_LIBRARIES)


RUNS_SCRIPTS = "_executed"
"""Name of our function that runs a whole script."""
_OURS = f"{Path(tabstudio.__file__).parent}{os.sep}"
_LIBRARIES = (sysconfig.get_path("stdlib") + os.sep, _OURS)
