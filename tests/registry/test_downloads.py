"""Bundles that lie on a server are fetched into temporary folders, which go when nobody needs them."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile

import pytest

from tabstudio.registry import Registry, load, resolve
from tabstudio.registry.comparison import compare
from tabstudio.registry.downloads import Downloads
from tabstudio.registry.model_addresses import AddressResolver
from tabstudio.registry.records import ModelVersion

from .conftest import ROWS, small_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def far(tmp_path, empty_mlflow, monkeypatch):
    """The address of a registry whose every model lies on a server; and where temporary folders are."""
    model, temporary = small_model(), tmp_path / "temporary"
    model.save(tmp_path / "far")
    temporary.mkdir()
    shutil.copyfile(empty_mlflow, tmp_path / "mlflow.db")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(AddressResolver, "_location", lambda _: "s3://models/ill")
    monkeypatch.setattr(
        "mlflow.artifacts.download_artifacts",
        lambda dst_path, **_: shutil.copytree(tmp_path / "far", dst_path, dirs_exist_ok=True),
    )
    return f"sqlite:///{tmp_path}/mlflow.db", temporary, model


def test_a_loaded_model_leaves_no_folder(far):
    uri, temporary, model = far
    loaded = load("models:/ill/1", tracking_uri=uri)
    assert loaded.predict_frame(ROWS).equals(model.predict_frame(ROWS))
    assert list(temporary.iterdir()) == []


def test_a_comparison_leaves_no_folder(far):
    uri, temporary, _ = far
    with pytest.raises(Exception, match="keeps no record"):
        compare("models:/ill/1", "models:/ill/2", tracking_uri=uri)
    assert list(temporary.iterdir()) == []


def test_a_registry_fetches_a_bundle_once_and_lets_it_go(far):
    uri, temporary, _ = far
    version = ModelVersion("ill", 1, None, 0)
    with Registry(tracking_uri=uri) as registry:
        folder = registry.bundle(version)
        assert registry.as_actor("bob").bundle(version) == folder
        assert [path.resolve() for path in temporary.iterdir()] == [folder.resolve()]
    assert list(temporary.iterdir()) == []


def test_what_was_resolved_stays_until_it_is_let_go(far):
    uri, temporary, _ = far
    downloads = Downloads()
    folder = resolve("models:/ill/1", tracking_uri=uri, downloads=downloads)
    assert (folder / "manifest.json").exists()
    del downloads
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_forked_child_leaves_the_folders_of_its_parent(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    downloads = Downloads()
    folder = downloads.folder()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        del downloads
        gc.collect()
    assert folder.is_dir()
