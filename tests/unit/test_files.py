"""What is removed lies really below a folder of ours, however it is named, and whatever links lead away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgrepl_lib.doors import files
from pgrepl_lib.errors import StepFailed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder, and somebody else's beside it."""
    (tmp_path / "x/data/primary").mkdir(parents=True)
    (tmp_path / "x-2/data").mkdir(parents=True)
    (tmp_path / "x-2/precious").write_text("mine")
    return tmp_path / "x"


@pytest.mark.parametrize(
    "name", ["../x-2", "data/../../x-2", "..", "data/..", "data/primary/../../../x-2", "/{}/x-2"]
)
def test_nothing_outside_is_removed_by_its_name(root: Path, name: str) -> None:
    with pytest.raises(StepFailed, match="leads out of"):
        files.remove_below(root, name.format(root.parent))
    assert (root.parent / "x-2/precious").read_text() == "mine" and (root / "data/primary").is_dir()


def test_what_a_link_leads_to_stays_and_is_told(root: Path) -> None:
    (root / "data/replica").symlink_to(root.parent / "x-2")
    assert files.links(root, ["data", "logs"]) == [f"data/replica is a link to {root.parent}/x-2"]
    files.remove_below(root, "data/replica")
    files.remove_below(root, "data/no such file")
    assert (root.parent / "x-2/precious").exists() and not (root / "data/replica").is_symlink()
    files.remove_below(root, "data")
    assert not (root / "data").exists()


def test_data_that_their_owner_has_moved_are_found_and_others_links_are_not_followed(
    root: Path,
) -> None:
    (root / "data/primary/precious").write_text("mine")
    moved = (root / "data").rename(root.parent / "big")
    (root / "data").symlink_to(moved)
    if not os.geteuid():
        os.chown(root / "data", 65534, 65534, follow_symlinks=False)
        with pytest.raises(StepFailed, match="leads out of"):
            files.remove_below(root, "data/primary")
        os.chown(root / "data", 0, 0, follow_symlinks=False)
    files.remove_below(root, "data/primary")
    assert moved.is_dir() and not (moved / "primary").exists()
    files.remove_below(root, "data")
    assert moved.is_dir() and not (root / "data").is_symlink()


def test_a_link_inside_data_is_not_followed(root: Path) -> None:
    """The server's user may make one there."""
    (root / "data/primary/pg_wal").symlink_to(root.parent / "x-2")
    with pytest.raises(StepFailed, match="leads out of"):
        files.remove_below(root, "data/primary/pg_wal/precious")
    files.remove_below(root, "data/primary")
    assert (root.parent / "x-2/precious").exists()
