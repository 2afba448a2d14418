"""Whose a project is: nobody else works on it, not even root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgrepl_lib.cluster.owner import require_owner
from pgrepl_lib.errors import EnvironmentLacking
from pgrepl_lib.params import Params

ROOT, ANA, BETO = 0, 65534, 65533
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


def project(folder: Path, owner: int, record_owner: int | None) -> tuple[Params, Path]:
    made, record = folder / "demo", folder / "demo/cluster.json"
    made.mkdir()
    if record_owner is not None:
        record.touch()
        os.chown(record, record_owner, -1)
    os.chown(made, owner, -1)
    return Params.parse({"project": "demo", "workdir": folder}), record


@as_root
@pytest.mark.parametrize(
    ("me", "owner", "record_owner"),
    [
        (ROOT, ROOT, None),
        (ROOT, ROOT, ROOT),
        (ANA, ANA, None),
        (ANA, ANA, ANA),
        (ANA, ROOT, None),  # root has made the folder for somebody
        (ANA, ROOT, ANA),
        (ANA, ANA, ROOT),  # root has worked on it before this was refused
    ],
)
def test_its_owner_works_on_it(
    me: int, owner: int, record_owner: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, record = project(tmp_path, owner, record_owner)
    monkeypatch.setattr(os, "geteuid", lambda: me)
    require_owner(params, record)


@as_root
@pytest.mark.parametrize(
    ("me", "owner", "record_owner"),
    [
        (ROOT, ANA, None),
        (ROOT, ANA, ANA),
        (ROOT, ANA, ROOT),
        (ROOT, ROOT, ANA),
        (ANA, BETO, None),
        (ANA, BETO, BETO),
        (ANA, ROOT, ROOT),
        (ANA, ROOT, BETO),
    ],
)
def test_another_users_project_is_refused(
    me: int, owner: int, record_owner: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, record = project(tmp_path, owner, record_owner)
    monkeypatch.setattr(os, "geteuid", lambda: me)
    with pytest.raises(EnvironmentLacking, match="Project demo belongs to the user"):
        require_owner(params, record)


def test_what_does_not_exist_is_anybodys(tmp_path: Path) -> None:
    require_owner(Params.parse({"workdir": tmp_path}), tmp_path / "pgrepl/cluster.json")


@as_root
def test_root_is_told_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacking) as raised:
        require_owner(*project(tmp_path, BETO, BETO))
    told = str(raised.value)
    assert f"`runuser -l {BETO}`" in told
    assert f"`pgrepl status --project demo -p workdir {tmp_path}`" in told
