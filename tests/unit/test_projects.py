"""A project that is not where it was looked for: what is meant is offered before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrepl_lib.cli import projects
from pgrepl_lib.cluster import state
from pgrepl_lib.params import Params


def test_one_of_that_name_elsewhere_or_a_similar_name_is_offered_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default, other = tmp_path / "default", tmp_path / "outra pasta"
    monkeypatch.setattr(projects, "default_workdir", lambda: default)
    for folder in (default / "novato", other / "longe"):
        folder.mkdir(parents=True)
        (folder / state.FILE).write_text("{}")
    known = default / state.KNOWN
    known.mkdir()
    (known / "x").symlink_to(other / "longe")

    def remedy(project: str) -> str:
        return projects.missing(Params.parse({"project": project, "workdir": str(default)})).remedy

    here = f"-p workdir {default}"
    one = "if this one is meant: `pgrepl status --project"
    assert remedy("nvato").startswith(f"{one} novato {here}`; to make it, ")
    assert remedy("longe").startswith(f"{one} longe -p workdir '{other}'`; to make it, ")
    assert remedy("quite-different").startswith("to make it, `pgrepl run --project quite-different")
