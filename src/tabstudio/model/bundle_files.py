"""The files of a bundle: their names, their hashes, and how a folder of them is written and read.

A folder appears whole or not at all, and each file is held against the manifest before anybody looks into it.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from tabstudio._util.atomic_files import draft_path, sync
from tabstudio._version import __version__
from tabstudio.errors import ModelError

FORMAT = 2
"""Raised whenever an older tabstudio could not read what this one writes. 2: graphs, preprocessing,
curves."""
READABLE = (1, 2)
MANIFEST, WEIGHTS, EVIDENCE = "manifest.json", "weights.safetensors", "evidence.safetensors"
FILES = ("schema.json", "encoder.json", "network.json", WEIGHTS, "profile.json", "report.json")
"""What every bundle has."""
_KNOWN = (MANIFEST, *FILES, EVIDENCE)


def write_folder(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a new folder: under another name beside, flushed to disk, renamed.

    Raises `ModelError` where the folder already exists with something in it or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder}: a new folder was expected, but this exists: choose another or delete it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with draft_path(folder) as draft:
            draft.mkdir()
            for name, data in files.items():
                (draft / name).write_bytes(data)
                sync(draft / name)
        sync(folder.parent)
    except OSError as error:
        raise ModelError(f"{folder}: the model cannot be written: {error.strerror or error}") from error


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """Return the files as one uncompressed zip archive without times: same files, same bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def read_archive(data: bytes) -> dict[str, bytes]:
    """Return the files that `write_archive` was given. Raises `ModelError` for other bytes."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"these bytes are no tabstudio model: {error}") from error


def manifest(files: Mapping[str, bytes]) -> bytes:
    """Return the manifest of the files."""
    entries = {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in files.items()}
    facts = {"format": FORMAT, "tabstudio": __version__, "files": entries}
    return dump({**facts, "sha256": sha256(dump(facts))})


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder; those that no bundle has are empty. Raises `ModelError` for no bundle."""
    if not folder.is_dir():
        raise ModelError(
            f"{folder}: a model's folder was expected, {'a file' if folder.exists() else 'nothing'} is there"
        )
    names = sorted(entry.name for entry in folder.iterdir())
    if MANIFEST not in names:
        raise ModelError(f"{folder}: this is no tabstudio model: {MANIFEST} is missing")
    return {name: read_file(folder / name, str(folder)) if name in _KNOWN else b"" for name in names}


def read_file(path: Path, where: str) -> bytes:
    """Return the content of a plain file. Raises `ModelError` for anything else."""
    if path.is_symlink() or not path.is_file():
        raise ModelError(f"{where}: {path.name} is not a plain file, so the model is not loaded")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{where}: {path.name} cannot be read: {error.strerror}") from error


def parsed(files: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """Return the contents of the JSON files after all files are checked against the manifest."""
    _verify(files, where)
    return {name: _parse(files[name], name, where) for name in FILES if name != WEIGHTS}


def _verify(files: Mapping[str, bytes], where: str) -> None:
    """Raise where the files differ from the manifest; only the manifest itself is parsed."""
    if MANIFEST not in files:
        raise ModelError(f"{where}: this is no tabstudio model: {MANIFEST} is missing")
    manifest = _parse(files[MANIFEST], MANIFEST, where)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ModelError(f"{where}: {MANIFEST} is damaged: it lists no files")
    _check_format(manifest, where)
    claimed = manifest.pop("sha256", None)
    if claimed != sha256(dump(manifest)) or files[MANIFEST] != dump({**manifest, "sha256": claimed}):
        raise ModelError(f"{where}: {MANIFEST} was changed after the model was saved")
    entries = manifest["files"]
    whole = (*FILES, EVIDENCE) if EVIDENCE in entries else FILES
    faults = [f"{name} is missing" for name in whole if name not in files]
    faults += [f"{name} does not belong to it" for name in files if name not in (MANIFEST, *whole)]
    faults += [f"{MANIFEST} lists {name!r}, which no model has" for name in entries if name not in whole]
    faults += [
        f"{name} was changed after the model was saved"
        for name in whole
        if name in files and entries.get(name) != {"sha256": sha256(files[name]), "bytes": len(files[name])}
    ]
    if faults:
        raise ModelError(f"{where}: the model is not loaded: {'; '.join(faults)}. Fetch it again")


def _check_format(manifest: Mapping[str, object], where: str) -> None:
    version = manifest.get("format")
    if version in READABLE:
        return
    written = f"format {version!r}, written by tabstudio {manifest.get('tabstudio', 'unknown')}"
    newer = isinstance(version, int) and version > FORMAT
    way_out = "upgrade tabstudio" if newer else "train the model again, or use the tabstudio that wrote it"
    known = " or ".join(map(str, READABLE))
    raise ModelError(
        f"{where}: format {known} was expected by tabstudio {__version__}, this is {written}: {way_out}"
    )


def _parse(data: bytes, name: str, where: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: {name} is damaged: {error}") from error


def dump(value: object) -> bytes:
    """Return a value as JSON."""
    return (json.dumps(_json_value(value), indent=1, allow_nan=False) + "\n").encode()


def _json_value(value: object) -> object:
    """Only what JSON has: NumPy scalars become Python's, figures that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _json_value(value.tolist())
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as hex."""
    return hashlib.sha256(data).hexdigest()
