"""Drafts take their names when they are complete, and leave nothing behind when they are not."""

from __future__ import annotations

import pytest

from tabstudio._util.atomic_files import draft_path, write_atomic


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole(tmp_path, durable):
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    with draft_path(path, durable=durable) as draft:
        draft.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert draft.suffix == ".json"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_its_name_when_it_is_complete(tmp_path):
    with draft_path(tmp_path / "model") as draft:
        draft.mkdir()
        (draft / "weights").write_bytes(b"w")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model" / "weights").read_bytes() == b"w"


@pytest.mark.parametrize("is_folder", [True, False])
def test_nothing_is_left_after_an_exception(tmp_path, is_folder):
    with pytest.raises(RuntimeError), draft_path(tmp_path / "a") as draft:  # noqa: PT012 - the block is the subject
        draft.mkdir() if is_folder else draft.write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_exists_by_then_is_not_overwritten(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(FileExistsError), draft_path(path, overwrite=False) as draft:  # noqa: PT012
        draft.write_bytes(b"second")
        path.write_bytes(b"first")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
