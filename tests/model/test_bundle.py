"""A bundle gives the same bits back, or is refused by the name of the file that is wrong."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from tabstudio.errors import ModelError
from tabstudio.model import bundle, bundle_files, predictor
from tabstudio.model.networks import Custom
from tabstudio.model.predictor import Model

ALL = (bundle_files.MANIFEST, *bundle_files.FILES)


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    return model.save(tmp_path / "model")


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("network", ["tabular", "mlp"])
def test_saved_and_loaded_model_predicts_the_same_bits(
    make_model: Callable[..., Model], rows: pl.DataFrame, tmp_path: Path, task: str, network: str
) -> None:
    model = make_model(task, network, temperature=0.7, target_mean=5.0, target_scale=2.5)
    again = predictor.load(model.save(tmp_path / "model"))
    assert again.predict_frame(rows).equals(model.predict_frame(rows))
    assert again.predict(rows).dtype == model.predict(rows).dtype
    assert (again.schema, again.encoder) == (model.schema, model.encoder)
    assert (again.config, again.profile) == (model.config, model.profile)


def test_same_model_gives_the_same_bytes(model: Model, folder: Path, tmp_path: Path) -> None:
    second = model.save(tmp_path / "second")
    third = predictor.load(folder).save(tmp_path / "third")
    for name in ALL:
        assert (folder / name).read_bytes() == (second / name).read_bytes() == (third / name).read_bytes()
    assert bundle.digest(folder) == bundle.digest(third)
    assert model.to_bytes() == predictor.load(folder).to_bytes()


def test_pickled_model_predicts_the_same_bits(model: Model, rows: pl.DataFrame) -> None:
    again = pickle.loads(pickle.dumps(model))
    assert again.predict_frame(rows).equals(model.predict_frame(rows))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_changed_byte_is_refused_with_the_files_name(folder: Path, name: str, place: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[{"first": 0, "middle": len(data) // 2, "last": -1}[place]] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=name):
        predictor.load(folder)


@pytest.mark.parametrize("name", ALL)
def test_a_missing_file_is_refused_with_its_name(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        predictor.load(folder)


def test_an_extra_file_is_refused_with_its_name(folder: Path) -> None:
    (folder / "code.py").write_text("raise SystemExit")
    with pytest.raises(ModelError, match=r"code\.py does not belong"):
        predictor.load(folder)


@pytest.mark.parametrize("name", ALL)
def test_a_link_in_place_of_a_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=f"{name} is not a plain file"):
        predictor.load(folder)


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    """A manifest that is sound in itself, as only a writer of bundles would make it."""
    manifest = json.loads((folder / bundle_files.MANIFEST).read_text())
    del manifest["sha256"]
    manifest |= changes
    manifest["sha256"] = bundle_files.sha256(bundle_files.dump(manifest))
    (folder / bundle_files.MANIFEST).write_bytes(bundle_files.dump(manifest))


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd", "sub/schema.json"])
def test_a_manifest_that_names_files_elsewhere_is_refused(folder: Path, name: str) -> None:
    files = json.loads((folder / bundle_files.MANIFEST).read_text())["files"]
    rewrite_manifest(folder, files={**files, name: {"sha256": "0" * 64, "bytes": 1}})
    with pytest.raises(ModelError, match="which no model has"):
        predictor.load(folder)


@pytest.mark.parametrize(
    ("version", "way_out"),
    [(3, "upgrade tabstudio"), (0, "train the model again"), ("1", "train the model again")],
)
def test_another_format_is_refused_with_the_way_out(folder: Path, version: Any, way_out: str) -> None:
    rewrite_manifest(folder, format=version, tabstudio="9.9")
    with pytest.raises(ModelError, match=f"format 1 or 2 was expected.*tabstudio 9.9: {way_out}"):
        predictor.load(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("network.json", "{}"),
        ("encoder.json", '{"columns": [{"kind": "magic"}]}'),
        ("schema.json", "[" * 99_999),
    ],
)
def test_sound_hashes_over_unsound_content_are_refused(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    files = json.loads((folder / bundle_files.MANIFEST).read_text())["files"]
    data = content.encode()
    files[name] = {"sha256": bundle_files.sha256(data), "bytes": len(data)}
    rewrite_manifest(folder, files=files)
    with pytest.raises(ModelError):
        predictor.load(folder)


@pytest.mark.parametrize("what", ["nothing", "file", "empty"])
def test_a_place_without_a_model_is_an_error_that_names_it(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "file":
        place.write_text("x")
    elif what == "empty":
        place.mkdir()
    with pytest.raises(ModelError, match="place: "):
        predictor.load(place)


def test_an_existing_folder_is_never_overwritten(model: Model, folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in ALL}
    with pytest.raises(ModelError, match="choose another or delete it"):
        model.save(folder)
    assert before == {name: (folder / name).read_bytes() for name in ALL}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_nothing(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    calls = []

    def fail(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:
            raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((ModelError, KeyboardInterrupt)):
        model.save(tmp_path / "deep" / "model")
    assert list((tmp_path / "deep").iterdir()) == []


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ModelError, match="no tabstudio model"):
        Model.from_bytes(b"something else")


def test_figures_that_are_not_finite_are_kept_as_null(model: Model, tmp_path: Path) -> None:
    model.report = {"auc": np.float64("nan"), "rows": np.int64(3), "path": Path("a"), 1: (True,)}
    report = predictor.load(model.save(tmp_path / "model")).report
    assert report == {"auc": None, "rows": 3, "path": "a", "1": [True]}


class Small(torch.nn.Module):
    """A network as a user would write it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(inputs, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, outputs)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture
def own(model: Model) -> Model:
    encoder = model.encoder
    pack = Custom(Small, [0, 1], encoder.numbers, encoder.cardinalities, 1)
    return Model(model.schema, encoder, pack)


def test_a_users_own_network_comes_back_with_its_factory(
    own: Model, rows: pl.DataFrame, tmp_path: Path
) -> None:
    again = predictor.load(own.save(tmp_path / "model"), network=Small)
    assert again.predict_frame(rows).equals(own.predict_frame(rows))


def test_a_users_own_network_is_not_imported_by_its_name(own: Model, tmp_path: Path) -> None:
    own.save(tmp_path / "model")
    with pytest.raises(ModelError, match=r"test_bundle:Small.*load\(path, network=factory\)"):
        predictor.load(tmp_path / "model")


def test_another_network_than_the_saved_one_is_refused(own: Model, tmp_path: Path) -> None:
    own.save(tmp_path / "model")
    with pytest.raises(ModelError, match="do not fit together"):
        predictor.load(tmp_path / "model", network=torch.nn.Linear)


def test_a_model_of_a_users_own_network_can_be_pickled(own: Model, rows: pl.DataFrame) -> None:
    assert pickle.loads(pickle.dumps(own)).predict_frame(rows).equals(own.predict_frame(rows))


def test_a_bundle_of_format_1_still_predicts_what_it_did() -> None:
    old = predictor.load(Path(__file__).parent / "bundles" / "format-1")
    rows = {"age": [66, 75, 19], "weight": [61.4, 76.6, 69.2], "city": ["Lima", "Lima", "Oslo"]}
    ill = [0.4396519728481439, 0.4368596068844826, 0.46577763213368883]
    np.testing.assert_allclose(old.predict_proba(rows)[:, 1], ill, rtol=1e-6)
    assert old.predict(rows).tolist() == ["yes", "yes", "yes"]
