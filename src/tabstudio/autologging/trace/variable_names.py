"""Names and values of the user's variables, looked up once for each call site rather than at each step."""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType

from tabstudio.autologging.trace.call_sites import locals_of, user_frames

_DEEPEST = 20
_MOST_KEYS = 20
_OF_LOADERS = re.compile(r"_?(data)?_?(loader|iter|dl|set|batches|ds)s?$|^(data)?_?loaders?_?")
_STATEMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)
_PART = re.compile(r"(?:^|_)(?:(train)|(val|valid|validation|dev)|(test))(?:_|$)", re.IGNORECASE)
_PARTS = ("train", "val", "test")
VALIDATION = re.compile(r"val|valid|validation|dev|eval", re.IGNORECASE)


def variables(frame: FrameType | None) -> Iterator[tuple[str, object]]:
    """Iterate over what the user's frames can name, innermost first: locals, what they hold, globals.

    `self` comes last: elsewhere the same object has a name that says more.
    """
    known_globals: set[int] = set()
    selves: list[object] = []
    for depth, each in enumerate(user_frames(frame)):
        if depth == _DEEPEST:
            break
        names = locals_of(each)
        if "self" in names:
            selves.append(names.pop("self"))
            yield from _inside(selves[-1])
        yield from _named(names)
        if id(each.f_globals) not in known_globals:
            known_globals.add(id(each.f_globals))
            yield from _named(dict(each.f_globals))
    yield from (("self", each) for each in selves)


def _named(names: dict[str, object]) -> Iterator[tuple[str, object]]:
    yield from names.items()
    for name, holder in names.items():
        if not name.startswith("__"):
            yield from _inside(holder)


def _inside(holder: object) -> Iterator[tuple[str, object]]:
    """Iterate over the attributes of an object of the user's class, and the values of a small dictionary."""
    if type(holder) is dict and len(holder) <= _MOST_KEYS:
        yield from ((key, value) for key, value in list(holder.items()) if isinstance(key, str))
    elif _is_users_object(holder):
        yield from list(vars(holder).items())


def name_of(value: object, frame: FrameType | None) -> str:
    """Return what the user calls an object, '' where no variable holds it."""
    return next(iter(names_of(value, frame)), "")


def names_of(value: object, frame: FrameType | None) -> Iterator[str]:
    """Iterate over all names of an object, innermost first."""
    return (name for name, held in variables(frame) if held is value and _says(name))


def _says(name: str) -> bool:
    return not name.startswith("_") and name != "self"


def part_of(name: str) -> str:
    """Return which part of the data a variable's name tells, '' where it tells none.

    >>> part_of("valid_loader"), part_of("test_dl"), part_of("dataloader")
    ('val', 'test', '')
    """
    plain = _OF_LOADERS.sub("", name.lower()).strip("_")
    return "val" if VALIDATION.fullmatch(plain) else re.sub(r"\W+", "_", plain)


@lru_cache(maxsize=1024)
def part_named(code: CodeType, offset: int) -> str:
    """Return which part of the data a statement is about: `train`, `val`, `test`; '' where it tells none.

    What it assigns to tells more than the rest of it: `val_loss = test(model, val_x)`.
    """
    line = list(code.co_positions())[offset // 2][0] or 0
    around = [node for node in body(code) if isinstance(node, _STATEMENTS) and _covers(node, line)]
    if not around:
        return ""
    nodes = list(ast.walk(max(around, key=lambda node: node.lineno)))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = [n for n in nodes if isinstance(n, ast.Name | ast.Attribute) and n not in called]
    stored = {_word(_last_name(name)) for name in names if isinstance(name.ctx, ast.Store)} - {""}
    loaded = {_word(_last_name(name)) for name in names} - {""}
    parts = stored or loaded
    return parts.pop() if len(parts) == 1 else ""


def _word(name: str) -> str:
    match = _PART.search(name)
    return _PARTS[match.lastindex - 1] if match is not None and match.lastindex else ""


def _covers(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


@dataclass(frozen=True, slots=True)
class ResultSource:
    """What a variable was assigned the result of: `value`, which `holder` has as `name`; `rows` went in."""

    holder: object
    name: str
    value: object
    rows: float


def result_sources(name: str, frame: FrameType) -> list[ResultSource]:
    """Return the functions and modules whose result the variable `name` is.

    Without a name: those whose result `backward` is called on.
    """
    sources = []
    calls = _assigned_calls(frame.f_code, name) if name else _backward_calls(frame.f_code)
    for call in calls:
        looked_up = _looked_up(call.func, frame)
        if looked_up is not None:
            arguments = (_looked_up(each, frame) for each in call.args)
            shapes = (getattr(each[2], "shape", None) for each in arguments if each is not None)
            sources.append(
                ResultSource(*looked_up, next((float(shape[0]) for shape in shapes if shape), 0.0))
            )
    return sources


def _is_users_object(value: object) -> bool:
    kind = type(value)
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, type)
        and kind.__module__.partition(".")[0]
        in (
            "__main__",
            "__mp_main__",
        )
    )


def _assigned_calls(code: CodeType, name: str) -> list[ast.Call]:
    """Return the calls that are assigned to `name`, alone or unpacked, in the function of `code`."""
    calls = []
    for node in body(code):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        targets = [t for target in node.targets for t in ast.walk(target)]
        if any(isinstance(t, ast.Name | ast.Attribute) and _last_name(t) == name for t in targets):
            calls.append(node.value)
    return calls


def _backward_calls(code: CodeType) -> list[ast.Call]:
    """Return the calls in front of `.backward()`: of `compute_loss(x, y).backward()`, for example."""
    return [
        node.func.value
        for node in body(code)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "backward"
        and isinstance(node.func.value, ast.Call)
    ]


def _last_name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


@lru_cache(maxsize=256)
def body(code: CodeType) -> tuple[ast.AST, ...]:
    """Return all nodes of the function that `code` was made of; none where the source is not at hand."""
    source = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a notebook's magics, a file that has changed since
        return ()
    if code.co_name == "<module>":
        return tuple(ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                return tuple(ast.walk(node))
    return ()


def _looked_up(function: ast.expr, frame: FrameType) -> tuple[object, str, object] | None:
    """Look a name, or a chain of attributes that begins with one, up as the frame would."""
    if isinstance(function, ast.Name):
        for names in (locals_of(frame), frame.f_globals):
            if function.id in names:
                return names, function.id, names[function.id]
        return None
    if isinstance(function, ast.Attribute):
        holder = _looked_up(function.value, frame)
        if holder is not None and (value := getattr(holder[2], function.attr, None)) is not None:
            return holder[2], function.attr, value
    return None
