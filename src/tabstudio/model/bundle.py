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

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio.errors import ModelError
from tabstudio.model.bundle_files import (
    EVIDENCE,
    MANIFEST,
    WEIGHTS,
    dump,
    manifest,
    parsed,
    read_archive,
    read_file,
    read_folder,
    sha256,
    write_archive,
    write_folder,
)
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.preprocessing import KIND, Preprocessing
from tabstudio.model.row_evidence import RowEvidence
from tabstudio.table.schema import Schema

if TYPE_CHECKING:
    from torch import nn

    from tabstudio.model.networks import Pack
    from tabstudio.model.predictor import Model

Factory = Callable[[int, int], "nn.Module"]


def save(model: Model, folder: str | Path) -> Path:
    """Write the model as a new folder; the same model gives the same bytes.

    Raises `ModelError` where the folder already exists with something in it or cannot be written.
    """
    write_folder(_files(model), Path(folder))
    return Path(folder)


def to_bytes(model: Model) -> bytes:
    """Return the files of a bundle as one archive: same model, same bytes."""
    return write_archive(_files(model))


def read_parts(folder: str | Path, network: Factory | None = None) -> dict[str, Any]:
    """Return what `Model` takes, after holding every file against the manifest.

    `network` is the factory of a user's own network, needed for such a model only.

    Raises `ModelError` naming the file that is missing, changed, superfluous or of another format.
    """
    return _model_parts(read_folder(Path(folder)), str(folder), network)


def parts_of_bytes(data: bytes, network: Factory | None = None) -> dict[str, Any]:
    """Return what `Model` takes, of what `to_bytes` wrote. Raises `ModelError` as `read_parts` does."""
    return _model_parts(read_archive(data), "model bytes", network)


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

    Raises `ModelError` as `read_parts` does.
    """
    files, where = read_folder(Path(folder)), str(folder)
    parts = parsed(files, where)
    with _fitting(where):
        return BundleRecord(
            Schema.from_json(parts["schema.json"]),
            parts["network.json"],
            parts["profile.json"],
            parts["report.json"]["report"],
            parts["report.json"]["config"],
            _evidence(files, where),
            {name: len(data) for name, data in files.items()},
            sha256(files[MANIFEST]),
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
    return sha256(read_file(path, str(folder)))


def _files(model: Model) -> dict[str, bytes]:
    from safetensors.torch import save as save_tensors

    state = {name: value.detach().cpu().contiguous() for name, value in model.pack.state_dict().items()}
    files = {
        "schema.json": dump(model.schema.to_json()),
        "encoder.json": dump(model.encoder.to_json()),
        "network.json": dump(_network(model)),
        WEIGHTS: save_tensors(state),
        "profile.json": dump(model.profile),
        "report.json": dump({"report": model.report, "config": model.config}),
    }
    if model.evidence is not None:
        from safetensors.numpy import save as save_arrays

        files[EVIDENCE] = save_arrays(model.evidence.tensors())
    return {MANIFEST: manifest(files), **files}


def _network(model: Model) -> dict[str, object]:
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


def _model_parts(files: Mapping[str, bytes], where: str, network: Factory | None) -> dict[str, Any]:
    contents = parsed(files, where)
    with _fitting(where):
        schema, encoder = Schema.from_json(contents["schema.json"]), _encoder(contents["encoder.json"])
        facts = contents["network.json"]
        return {
            "schema": schema,
            "encoder": encoder,
            "pack": _pack(facts, encoder, schema, files[WEIGHTS], network, where),
            "head": head_of(schema, facts),
            "profile": contents["profile.json"],
            "report": contents["report.json"]["report"],
            "config": contents["report.json"]["config"],
            "evidence": _evidence(files, where),
        }


def head_of(schema: Schema, facts: Mapping[str, Any]) -> OutputHead:
    """Return the output head recorded in `network.json`."""
    if schema.target is None:
        raise ModelError("a model needs a schema with a target, this one has none")
    return OutputHead.from_json(schema.target, facts)


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
