"""`pgrepl lab` as a participant has it: JupyterLab, a chapter's copy, a kernel and a terminal, all of one project."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("jupyterlab")
from pgrepl_lib.doors.resources import COPIES, NOTEBOOKS

from .lab import Lab, begun

FIRST = f"{COPIES}/00-preparacao.ipynb"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with begun(tmp_path_factory.mktemp("pasta é x")) as found:
        yield found


def test_a_chapter_opens_without_what_others_saw_and_ours_stays(lab: Lab) -> None:
    before = digests(NOTEBOOKS)
    assert f"{lab.url}/lab/tree/{FIRST}" in lab.log.read_text("utf-8"), "it begins there"
    model = lab.ask(f"api/contents/{FIRST}")
    assert model["writable"] and 'project = "aluna-1"' in str(model["content"])
    assert not any(cell.get("outputs") for cell in model["content"]["cells"])
    assert {p.name for p in lab.folder.iterdir()} == {COPIES}
    assert digests(NOTEBOOKS) == before


def test_the_terminal_has_pgrepl_and_the_project_of_the_chapters(lab: Lab) -> None:
    told = lab.typed("pgrepl status")
    assert "Não há projeto aluna-1" in told.encode().decode("unicode_escape"), told
    own = Path(sys.executable).parent / "pgrepl"
    assert "aluna-1" in lab.typed(f"'{own}' status"), "with its path it means the same"


def test_a_kernel_is_our_own_and_says_nothing_of_a_lack_of_ciphers(lab: Lab) -> None:
    cell = f"import sys, pgrepl_lib; print((sys.prefix == {sys.prefix!r}, pgrepl_lib.__name__))"
    assert "(True, 'pgrepl_lib')" in lab.executed(cell, "'pgrepl_lib')")
    assert "without encryption" not in lab.log.read_text("utf-8")


def test_it_speaks_portuguese_and_asks_for_no_news(lab: Lab) -> None:
    spoken = lab.ask("lab/api/settings/@jupyterlab/translation-extension:plugin")
    assert spoken["schema"]["properties"]["locale"]["default"] == "pt_BR"
    menus = lab.ask("lab/api/settings/@jupyterlab/mainmenu-extension:plugin")["schema"]
    assert "Arquivo" in str(menus["properties"]["menus"]["default"])
    assert lab.ask("lab/api/translations/pt_BR")["data"], "its language pack is there"
