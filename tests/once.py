"""What a run of the tests makes once: several workers want it, whoever comes first makes it.

The process that begins the run makes the folder and removes it; its workers find it in the environment.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .budget import uncounted

_NAME = "FOLDER_OF_THIS_TEST_RUN"
_mine = None if _NAME in os.environ else tempfile.TemporaryDirectory(prefix="tabstudio-tests-")
FOLDER = Path(os.environ.setdefault(_NAME, _mine.name if _mine else ""))
BEGAN_HERE = _mine is not None


def shared_once(name: str, make: Callable[[Path], Any] = lambda _: None) -> tuple[Path, Any]:
    """Return a folder of this run and what `make(folder)` returned, as JSON keeps it.

    `make` fills the folder where no worker has done so yet; all others wait for it. What stands there is read
    or copied, never changed.
    """
    folder, done = FOLDER / name, FOLDER / f"{name}.json"
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            folder.mkdir()
            with uncounted():
                done.write_text(json.dumps(make(folder)))
    return folder, json.loads(done.read_text())
