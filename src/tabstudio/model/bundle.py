"""A model as a folder of data: JSON and safetensors, every file with its SHA-256, nothing that can run.

    manifest.json         format version, SHA-256 and length of every other file, and of itself
    schema.json           the columns and the target
    encoder.json          what was learned from the training rows: an encoder, or a preprocessing taken over
    network.json          the architecture or a graph of operators, the members, temperature, curve, threshold
    weights.safetensors   the weights
    profile.json          what the training rows looked like
    report.json           what was measured, and the configuration that ran
    evidence.safetensors  keys of the training rows, and what the model said of the test rows; may be missing

Loading reads each file once, checks its hash and only then looks into it. A network that a user has trained
alone is stored as a graph of PyTorch's operators (see `tabstudio.model.graph_network`). One that was trained
here by its factory is stored by its weights and the name of the factory; the factory must be handed to
`load`, since importing what a file names would run code of the file's choice.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tabstudio._util.atomic_files import draft_path, sync
from tabstudio._version import __version__
from tabstudio.errors import ModelError
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.predictor import Model
from tabstudio.model.preprocessing import KIND, Preprocessing
from tabstudio.model.row_evidence import RowEvidence
from tabstudio.table.schema import Schema

if TYPE_CHECKING:
    from tabstudio.model.networks import Pack

FORMAT = 2
"""Raised whenever an older tabstudio could not read what this one writes. 2: graphs, preprocessing,
curves."""
READABLE = (1, 2)
MANIFEST, WEIGHTS, EVIDENCE = "manifest.json", "weights.safetensors", "evidence.safetensors"
FILES = ("schema.json", "encoder.json", "network.json", WEIGHTS, "profile.json", "report.json")
"""What every bundle has."""
_KNOWN = (MANIFEST, *FILES, EVIDENCE)

Factory = Callable[[int, int], Any]


def save(model: Model, folder: str | Path) -> Path:
    """Write the model as a new folder; the same model gives the same bytes.

    The folder appears whole or not at all: it is written under another name beside, flushed to disk, renamed.

    Raises `ModelError` where the folder already exists with something in it or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder}: a new folder was expected, but this exists: choose another or delete it")
    files = _files(model)
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
    return folder


def load(folder: str | Path, network: Factory | None = None) -> Model:
    """Read a model, after holding every file against the manifest.

    `network` is the factory of a user's own network, needed for such a model only.

    Raises `ModelError` naming the file that is missing, changed, superfluous or of another format.
    """
    return _model(_read(Path(folder)), str(folder), network)


@dataclass(frozen=True)
class BundleRecord:
    """What a bundle says of its model, read without building the network and so without torch.

    `network` is what network.json holds, `weights` the bytes of the weights' file, `sizes` those of each file
    counted; `digest` stands for the whole bundle.
    """

    schema: Schema
    network: Mapping[str, Any]
    profile: Mapping[str, Any]
    report: Mapping[str, Any]
    config: Mapping[str, Any]
    evidence: RowEvidence | None
    sizes: Mapping[str, int]
    digest: str
    weights: bytes = field(repr=False)
    encoder: Mapping[str, Any] = field(repr=False)


def record(folder: str | Path) -> BundleRecord:
    """Read what a bundle says of its model, after holding every file against the manifest.

    Raises `ModelError` as `load` does.
    """
    files, where = _read(Path(folder)), str(folder)
    parts = _parts(files, where)
    with _fitting(where):
        return BundleRecord(
            Schema.from_json(parts["schema.json"]),
            parts["network.json"],
            parts["profile.json"],
            parts["report.json"]["report"],
            parts["report.json"]["config"],
            _evidence(files, where),
            {name: len(data) for name, data in files.items()},
            _sha256(files[MANIFEST]),
            files[WEIGHTS],
            parts["encoder.json"],
        )


def encoding(record: BundleRecord) -> Encoder | Preprocessing:
    """What turns raw rows into the network's numbers and codes, of a bundle that was read with `record`."""
    return _encoder(record.encoder)


def network(record: BundleRecord, where: str) -> Pack:
    """Build the network of a bundle that was read with `record`.

    Raises `ModelError` where the weights do not fit it, or it is one of a user's own.
    """
    with _fitting(where):
        encoder = encoding(record)
        return _pack(record.network, encoder, record.schema, record.weights, None, where)


def digest(folder: str | Path) -> str:
    """SHA-256 that stands for the whole bundle, as hex: that of its manifest. Files are not read."""
    path = Path(folder) / MANIFEST
    return _sha256(_bytes(path, str(folder)))


def to_bytes(model: Model) -> bytes:
    """The files of a bundle as one uncompressed zip archive without times: same model, same bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _files(model).items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def from_bytes(data: bytes, network: Factory | None = None) -> Model:
    """The model that `to_bytes` wrote.

    Raises `ModelError` as `load` does.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"these bytes are no tabstudio model: {error}") from error
    return _model(files, "model bytes", network)


def _files(model: Model) -> dict[str, bytes]:
    from safetensors.torch import save as save_tensors

    state = {name: value.detach().cpu().contiguous() for name, value in model.pack.state_dict().items()}
    files = {
        "schema.json": _dump(model.schema.to_json()),
        "encoder.json": _dump(model.encoder.to_json()),
        "network.json": _dump(_network(model)),
        WEIGHTS: save_tensors(state),
        "profile.json": _dump(model.profile),
        "report.json": _dump({"report": model.report, "config": model.config}),
    }
    if model.evidence is not None:
        from safetensors.numpy import save as save_arrays

        files[EVIDENCE] = save_arrays(model.evidence.tensors())
    return {MANIFEST: _manifest(files), **files}


def _network(model: Model) -> dict[str, Any]:
    from tabstudio.model.graph_network import Graph

    pack = model.pack
    factory = getattr(pack, "factory", None)
    return {
        "graph": pack.to_json() if isinstance(pack, Graph) else None,
        "spec": None if factory or isinstance(pack, Graph) else pack.description(),
        "factory": _name_of(factory) if factory else None,
        "seeds": list(pack.seeds),
        **model.head.to_json(),
    }


def _name_of(factory: Factory) -> str:
    name = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{getattr(factory, '__module__', type(factory).__module__)}:{name}"


def _manifest(files: Mapping[str, bytes]) -> bytes:
    entries = {name: {"sha256": _sha256(data), "bytes": len(data)} for name, data in files.items()}
    manifest = {"format": FORMAT, "tabstudio": __version__, "files": entries}
    return _dump({**manifest, "sha256": _sha256(_dump(manifest))})


def _read(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise ModelError(
            f"{folder}: a model's folder was expected, {'a file' if folder.exists() else 'nothing'} is there"
        )
    names = sorted(entry.name for entry in folder.iterdir())
    if MANIFEST not in names:
        raise ModelError(f"{folder}: this is no tabstudio model: {MANIFEST} is missing")
    return {name: _bytes(folder / name, str(folder)) if name in _KNOWN else b"" for name in names}


def _bytes(path: Path, where: str) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ModelError(f"{where}: {path.name} is not a plain file, so the model is not loaded")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{where}: {path.name} cannot be read: {error.strerror}") from error


def _model(files: Mapping[str, bytes], where: str, network: Factory | None) -> Model:
    parts = _parts(files, where)
    with _fitting(where):
        schema, encoder = Schema.from_json(parts["schema.json"]), _encoder(parts["encoder.json"])
        facts = parts["network.json"]
        return Model(
            schema,
            encoder,
            _pack(facts, encoder, schema, files[WEIGHTS], network, where),
            head_of(schema, facts),
            profile=parts["profile.json"],
            report=parts["report.json"]["report"],
            config=parts["report.json"]["config"],
            evidence=_evidence(files, where),
        )


def head_of(schema: Schema, facts: Mapping[str, Any]) -> OutputHead:
    """The head that `network.json` tells of."""
    if schema.target is None:
        raise ModelError("a model needs a schema with a target, this one has none")
    return OutputHead.from_json(schema.target, facts)


def _parts(files: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """The contents of the JSON files, once all files are known to be what the manifest says."""
    _verify(files, where)
    return {name: _parse(files[name], name, where) for name in FILES if name != WEIGHTS}


@contextmanager
def _fitting(where: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelError(f"{where}: the files are whole but do not fit together: {error}") from error


def _evidence(files: Mapping[str, bytes], where: str) -> RowEvidence | None:
    if EVIDENCE not in files:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_arrays

    try:
        return RowEvidence.from_tensors(load_arrays(files[EVIDENCE]))
    except SafetensorError as error:
        raise ModelError(f"{where}: {EVIDENCE} is damaged: {error}") from error


def _verify(files: Mapping[str, bytes], where: str) -> None:
    """Refuse whatever is not exactly what the manifest says. No file but the manifest is looked into."""
    if MANIFEST not in files:
        raise ModelError(f"{where}: this is no tabstudio model: {MANIFEST} is missing")
    manifest = _parse(files[MANIFEST], MANIFEST, where)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ModelError(f"{where}: {MANIFEST} is damaged: it lists no files")
    _check_format(manifest, where)
    claimed = manifest.pop("sha256", None)
    if claimed != _sha256(_dump(manifest)) or files[MANIFEST] != _dump({**manifest, "sha256": claimed}):
        raise ModelError(f"{where}: {MANIFEST} was changed after the model was saved")
    entries = manifest["files"]
    whole = (*FILES, EVIDENCE) if EVIDENCE in entries else FILES
    faults = [f"{name} is missing" for name in whole if name not in files]
    faults += [f"{name} does not belong to it" for name in files if name not in (MANIFEST, *whole)]
    faults += [f"{MANIFEST} lists {name!r}, which no model has" for name in entries if name not in whole]
    faults += [
        f"{name} was changed after the model was saved"
        for name in whole
        if name in files and entries.get(name) != {"sha256": _sha256(files[name]), "bytes": len(files[name])}
    ]
    if faults:
        raise ModelError(f"{where}: the model is not loaded: {'; '.join(faults)}. Fetch it again")


def _check_format(manifest: Mapping[str, Any], where: str) -> None:
    found = manifest.get("format")
    if found in READABLE:
        return
    written = f"format {found!r}, written by tabstudio {manifest.get('tabstudio', 'unknown')}"
    newer = isinstance(found, int) and found > FORMAT
    way_out = "upgrade tabstudio" if newer else "train the model again, or use the tabstudio that wrote it"
    known = " or ".join(map(str, READABLE))
    raise ModelError(
        f"{where}: format {known} was expected by tabstudio {__version__}, this is {written}: {way_out}"
    )


def _encoder(data: Mapping[str, Any]) -> Encoder | Preprocessing:
    return Preprocessing.from_json(data) if data.get("kind") == KIND else Encoder.from_json(data)


def _pack(
    facts: Mapping[str, Any],
    encoder: Encoder | Preprocessing,
    schema: Schema,
    weights: bytes,
    network: Factory | None,
    where: str,
) -> Pack:
    from safetensors.torch import load as load_tensors

    from tabstudio.model.networks import rebuild

    assert schema.target is not None
    if facts.get("graph") is not None:
        from tabstudio.model.graph_network import Graph

        return Graph.from_json(facts["graph"], load_tensors(weights))
    if facts["spec"] is not None:
        pack = rebuild(facts["spec"], facts["seeds"])
    elif network is None:
        raise ModelError(
            f"{where}: this model holds a network of your own, {facts['factory']}. A file is not trusted to "
            "say which code to import: hand its factory over, load(path, network=factory)"
        )
    else:
        from tabstudio.model.networks import Custom

        pack = Custom(network, facts["seeds"], encoder.numbers, encoder.cardinalities, schema.target.outputs)
    pack.load_state_dict(load_tensors(weights))
    return pack


def _parse(data: bytes, name: str, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: {name} is damaged: {error}") from error


def _dump(value: Any) -> bytes:
    return (json.dumps(_plain(value), indent=1, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    """Only what JSON has: NumPy scalars become Python's, figures that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
