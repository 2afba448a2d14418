"""`make exercises`: the exercises' notebooks, one a chapter, made from `pgrepl_lib/exercises/chapters`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

sys.path.insert(0, str(Path(__file__).parents[2]))
from pgrepl_lib.exercises.chapters.all import ALL
from pgrepl_lib.exercises.registry import Exercise
from pgrepl_lib.words.language import PORTUGUESE, speaking
from pgrepl_lib.words.text import t
from tests.notebooks import parameters
from tests.notebooks.chapters import CHAPTERS, NOTEBOOKS

FOLDER = NOTEBOOKS / "exercicios"
HEAD = """# Exercícios do capítulo {number}

Aqui você faz. Cada exercício tem um começo, uma tarefa e uma verificação que olha para o **cluster**, nunca para a sua célula:
resolva como preferir, em uma célula, no `psql` ou no terminal. Travou? Peça uma dica; há mais de uma. A solução também
está aqui, com os comandos: pular é permitido, e o exercício seguinte começa do mesmo jeito.

Antes: os capítulos de 00 a 03, que montam o cluster, e o [{number}](../{chapter}.ipynb). Um exercício com 🔧 começa **quebrado
de propósito**.

No terminal, `pgrepl exercise list` mostra todos, e em que ponto você está. Com outro projeto, acrescente `--project NOME` a
cada comando `pgrepl`; com outra pasta de trabalho, também `-p workdir PASTA`.

**Onde fazer.** No terminal do JupyterLab, `pgrepl psql primary` (ou `replica`, `replica-2`) abre o psql. Os arquivos de cada
instância, como `primary/pg_hba.conf`, estão na pasta do cluster, que `pgrepl status` mostra; os logs, em `logs/` dela, ou, com
Docker, em `docker compose logs replica`. Um arquivo editado só vale depois de `select pg_reload_conf();`."""
OPEN = """from pgrepl_lib import open_cluster
from pgrepl_lib.exercises import workshop

cluster = open_cluster("exercicios/{chapter}", globals())"""
OWN = "# O seu trabalho: aqui, no psql ou no terminal."
STOP = """**Pare aqui**, se ainda quer tentar: a próxima célula resolve o exercício e mostra os comandos."""
AGAIN = (
    'Outra vez? `workshop.reset(cluster, "{name}")`, em uma célula nova, traz o começo de volta.'
)
NOT_COMPARED = "nbval-ignore-output"
END = """## No fim

A próxima célula deixa o cluster inteiro, sem nada dos exercícios."""


def chapter_of(number: str) -> str:
    """The chapter's file, without its ending."""
    return next(chapter for chapter in CHAPTERS if chapter.startswith(number))


def cells(number: str, exercises: list[Exercise]) -> Iterator[NotebookNode]:
    chapter = chapter_of(number)
    yield prose("titulo", HEAD.format(number=number, chapter=chapter))
    yield tagged(code("parametros", parameters.source(chapter)), "parameters")
    yield tagged(code("abrir-cluster", OPEN.format(chapter=chapter)), NOT_COMPARED)
    for exercise in exercises:
        yield from of_exercise(exercise)
    yield prose("fim", END)
    yield code("terminar", "workshop.end(cluster)")


def of_exercise(exercise: Exercise) -> Iterator[NotebookNode]:
    name = exercise.name
    broken = " 🔧" if exercise.broken else ""
    heading = f"## {exercise.number}. {t(exercise.title)}{broken}"
    yield prose(name, f"{heading}\n\n{t(exercise.task)}\n\n**Por que importa.** {t(exercise.why)}")
    yield code(f"{name}-comecar", f'workshop.start(cluster, "{name}")')
    own = [OWN]
    if exercise.asks:
        own.append(f'# workshop.answer(cluster, "{name}", "…")  # {t(exercise.asks)}')
    yield code(f"{name}-fazer", "\n".join(own))
    yield code(f"{name}-verificar", f'workshop.check(cluster, "{name}")')
    yield code(f"{name}-dica", f'workshop.hint(cluster, "{name}")')
    yield prose(f"{name}-pare", STOP)
    solution = code(f"{name}-solucao", f'workshop.solve(cluster, "{name}")')
    yield tagged(solution, NOT_COMPARED)  # each engine has commands of its own
    yield code(f"{name}-conferir", f'workshop.check(cluster, "{name}")')
    yield prose(f"{name}-de-novo", AGAIN.format(name=name))


def prose(cell_id: str, text: str) -> NotebookNode:
    return new_markdown_cell(text, id=cell_id)


def code(cell_id: str, text: str) -> NotebookNode:
    return new_code_cell(text, id=cell_id)


def tagged(cell: NotebookNode, tag: str) -> NotebookNode:
    cell.metadata["tags"] = [tag]
    return cell


def notebooks() -> dict[Path, NotebookNode]:
    """Each notebook as the definitions make it, without outputs."""
    made = {}
    with speaking(PORTUGUESE):
        for number, exercises in groupby(ALL.values(), key=attrgetter("chapter")):
            notebook = nbformat.v4.new_notebook(cells=list(cells(number, list(exercises))))
            notebook.metadata = nbformat.read(NOTEBOOKS / f"{chapter_of(number)}.ipynb", 4).metadata
            made[FOLDER / f"{chapter_of(number)}.ipynb"] = notebook
    return made


def with_outputs(made: NotebookNode, path: Path) -> NotebookNode:
    """Cells that say what they said before keep what they have shown."""
    before = {c.id: c for c in nbformat.read(path, 4).cells} if path.exists() else {}
    for cell in (c for c in made.cells if c.cell_type == "code"):
        if (old := before.get(cell.id)) and old.source == cell.source:
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return made


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path, made in notebooks().items():
        nbformat.write(with_outputs(made, path), path)


if __name__ == "__main__":
    main()
