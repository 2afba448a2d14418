"""docs/guia.md: the guide that is committed is the one that the notebooks make."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import nbformat

from pgrepl_lib.evidence import guide
from pgrepl_lib.journal.chapter import NOTEBOOKS, SET_UP

GUIDE = Path(__file__).parents[2] / "docs/guia.md"


def test_the_committed_guide_is_in_step_with_the_notebooks() -> None:
    assert GUIDE.read_text("utf-8") == guide.text(), "pgrepl guide --output docs/guia.md"


def test_every_step_of_the_chapters_is_in_the_guide_and_nothing_of_the_notebooks_own() -> None:
    text = guide.text()
    cells = [
        c
        for chapter in SET_UP
        for c in nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells
        if "somente-caderno" not in c.metadata.get("tags", [])
    ]
    shown = [
        o.get("data", {}).get("text/markdown", "") for c in cells for o in c.get("outputs", [])
    ]
    steps = [
        title
        for text_ in shown
        for title in re.findall(r"^`(?:in)?alterado` · \*\*(.*)\*\*", text_)
    ]
    assert len(steps) >= 26
    assert [t for t in steps if f"**{t}**\n\n```sh\n" not in text] == []
    assert re.findall(r"célula|Shift|`(?:in)?alterado`|/var/lib/pgrepl|```console", text) == []


def test_every_correction_is_in_the_guide_and_every_link_leads_somewhere() -> None:
    text = guide.text()
    assert {int(n) for n in re.findall(r"\*\*Correção (\d+)\.\*\*", text)} == set(range(1, 15))
    links = re.findall(r"\]\(([^)h][^)]*)\)", text)
    assert links and all((GUIDE.parent / link).exists() for link in links)


def test_headings_go_down_one_level_at_a_time() -> None:
    prose = re.sub(r"```.*?```", "", guide.text(), flags=re.DOTALL)
    levels = [len(m) for m in re.findall(r"^(#+) ", prose, re.MULTILINE)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
