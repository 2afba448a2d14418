"""What every chapter has to be: executed, short cells, the same parameters, the corrections in their places."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TypeGuard

import nbformat
import pytest
from papermill.inspection import _infer_parameters
from papermill.iorw import load_notebook_node

from pgrepl_lib.params import Params

from . import parameters
from .chapters import CHAPTERS, NOTEBOOKS

VOLATILE = {
    "an LSN": r"\b[0-9A-F]{1,8}/[0-9A-F]{6,8}\b",
    "a time": r"\b\d\d:\d\d:\d\d\b",
    "a container id": r"\b(?!2530231497e2)[0-9a-f]{12,64}\b(?<!aecb)",
    "a pid": r"\bpid\b",
    "a warning or an error": r"(?i)traceback|warning",
}
LOOKED_AT_ONLY = {
    "abrir-cluster",
    "preflight",
    "programas",
    "versoes",
    "existe",
    "sobrou",
}  # differ by machine


def looked_at_only(cell_id: str) -> bool:
    """Cells whose figures differ from run to run are named for it: `medir-…` and `ver-…`."""
    return cell_id in LOOKED_AT_ONLY or cell_id.startswith(("medir-", "ver-"))


def code_cells(chapter: str) -> list[nbformat.NotebookNode]:
    return [
        c for c in nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells if c.cell_type == "code"
    ]


def prose(chapter: str) -> str:
    return "\n".join(
        c.source
        for c in nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells
        if c.cell_type == "markdown"
    )


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_code_cell_was_executed_in_order(chapter: str) -> None:
    """nbval passes a cell that was never executed without looking at it."""
    assert [c.execution_count for c in code_cells(chapter)] == list(
        range(1, len(code_cells(chapter)) + 1)
    )


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_only_what_depends_on_the_machine_is_not_compared(chapter: str) -> None:
    ignored = {
        c.id for c in code_cells(chapter) if "nbval-ignore-output" in c.metadata.get("tags", [])
    }
    assert all(map(looked_at_only, ignored))
    assert not any("nbval-skip" in c.metadata.get("tags", []) for c in code_cells(chapter))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_stored_outputs_hold_nothing_volatile(chapter: str) -> None:
    for cell in code_cells(chapter):
        if looked_at_only(cell.id):
            continue
        text = "\n".join(str(o.get("text", o.get("data", ""))) for o in cell.outputs)
        for what, pattern in VOLATILE.items():
            assert not re.search(pattern, text), f"{chapter}, cell {cell.id}: {what}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_edit_is_stored_with_its_diff(chapter: str) -> None:
    """A step that would change a file again and finds it so shows the command alone."""
    for cell in code_cells(chapter):
        for output in cell.outputs:
            shown = output.get("data", {}).get("text/markdown", "")
            if not shown.startswith("`inalterado`"):
                patched = re.findall(r"^\$ patch (.+)$", shown, re.MULTILINE)
                edited = re.findall(r"^--- (.+)\n\+\+\+ .+\n@@ ", shown, re.MULTILINE)
                assert patched == edited, f"{chapter}, cell {cell.id}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_code_cells_are_short_and_plain(chapter: str) -> None:
    for cell in code_cells(chapter):
        tags = cell.metadata.get("tags", [])
        assert "parameters" in tags or len(cell.source.splitlines()) <= 5, (
            f"{chapter}, cell {cell.id}"
        )
        assert not re.search(r"^\s*(def|class|!|%)", cell.source, re.MULTILINE), (
            f"{chapter}, cell {cell.id}"
        )


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_parameters_are_those_of_the_library_and_papermill_can_read_them(chapter: str) -> None:
    notebook = load_notebook_node(str(NOTEBOOKS / f"{chapter}.ipynb"))
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    assert cell.source == parameters.source(chapter), "make it anew: `make parameters`"
    assert {p.name for p in _infer_parameters(notebook)} >= set(Params.model_fields)
    namespace: dict[str, object] = {}
    exec(cell.source, namespace)
    given = {name: namespace[name] for name in Params.model_fields}
    assert Params.parse(given) == Params.parse({})


def test_the_first_chapter_says_what_each_parameter_is() -> None:
    notebook = load_notebook_node(str(NOTEBOOKS / "00-preparacao.ipynb"))
    (cell,) = (c for c in notebook.cells if c.id == "sobre-parametros")
    assert re.findall(r"^\| `(\w+)` \|", cell.source, re.MULTILINE) == list(Params.model_fields)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_other_cell_gives_a_parameters_name_to_something_else(chapter: str) -> None:
    """The cell that opens the cluster, executed again, takes what these names stand for."""
    for cell in code_cells(chapter):
        if "parameters" not in cell.metadata.get("tags", []):
            names = {node.id for node in ast.walk(ast.parse(cell.source)) if is_given(node)}
            assert not names & set(Params.model_fields), f"{chapter}, cell {cell.id}"


def is_given(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def test_cell_ids_are_unique_words() -> None:
    for chapter in CHAPTERS:
        ids = [c.id for c in nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells]
        assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[a-z0-9-]+", i) for i in ids)


def test_each_correction_stands_in_its_place_once_and_in_the_index() -> None:
    callouts = [
        int(n)
        for chapter in CHAPTERS
        for n in re.findall(r"^> \*\*Correção (\d+)\.\*\*", prose(chapter), re.M)
    ]
    assert sorted(callouts) == list(range(1, 15))
    index = (NOTEBOOKS / "README.md").read_text("utf-8")
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", index, re.M)] == list(range(1, 15))


def test_headings_are_those_of_the_document_in_its_order() -> None:
    headings = [
        "# Exemplo de Configuração de Stream Replication no PostgreSQL 14",
        "# Configurando a instância primária",
        "### Editando os arquivos de configuração",
        "### Executando a instância primária",
        "# Configurando a instância réplica",
        "### Criando o Base Backup",
        "## Referência",
    ]
    found = [
        line for chapter in CHAPTERS for line in prose(chapter).splitlines() if line in headings
    ]
    assert found == headings


def test_links_between_chapters_lead_somewhere() -> None:
    for source in [*(prose(c) for c in CHAPTERS), (NOTEBOOKS / "README.md").read_text("utf-8")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", source):
            assert (NOTEBOOKS / target).exists(), target


def test_notebooks_name_no_path_of_this_machine() -> None:
    checkout = str(Path(__file__).parents[2])
    assert not any(checkout in (NOTEBOOKS / f"{c}.ipynb").read_text("utf-8") for c in CHAPTERS)
