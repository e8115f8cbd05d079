"""A call in the user's code, read again from its source: what its arguments are called."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from pathlib import Path
from types import CodeType, FrameType

from tabstudio.autologging.trace.call_sites import is_user_file

_LIBRARIES = f"{os.sep}site-packages{os.sep}"
_OURS = f"{Path(__file__).parents[1]}{os.sep}"


def is_user_code(code: CodeType) -> bool:
    """Say whether code is the user's own, no library's."""
    return _LIBRARIES not in code.co_filename and is_user_file(code.co_filename)


def calling_frame() -> FrameType | None:
    """Return the frame that called the library's function which is being watched, if it is the user's own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame if frame is not None and is_user_code(frame.f_code) else None


def argument_names(frame: FrameType) -> list[str]:
    """Names of the arguments of the call that a frame is in, '' for one that is no variable.

    Nothing where the source is not at hand.
    """
    call = _call(frame)
    values = [] if call is None else [*call.args, *(keyword.value for keyword in call.keywords)]
    return [value.id if isinstance(value, ast.Name) else "" for value in values]


def _call(frame: FrameType) -> ast.Call | None:
    code = frame.f_code
    first, last, start, end = list(code.co_positions())[frame.f_lasti // 2]
    if first is None or last is None or start is None or end is None:
        return None
    lines = [linecache.getline(code.co_filename, line, frame.f_globals) for line in range(first, last + 1)]
    lines[-1] = lines[-1].encode()[:end].decode(errors="ignore")
    text = "".join([lines[0].encode()[start:].decode(errors="ignore"), *lines[1:]])
    try:
        parsed = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:  # the source has changed since, or there is none
        return None
    return parsed if isinstance(parsed, ast.Call) else None
