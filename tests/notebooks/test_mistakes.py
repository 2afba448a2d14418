"""What a participant may do to a cell, or leave out before it: one short message, and what to execute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrepl_lib.journal.chapter import ALL, OURS, cells
from pgrepl_lib.notebook.cells import binding
from pgrepl_lib.params import Params

from .chapters import CHAPTERS
from .exercises import FOLDER
from .kernels import Notebook, opened

CHAPTER = "05-falhas"
IMPORT = "from pgrepl_lib import open_cluster"

# The line that is wrong, and what its message says of it.
MISTAKES = {
    "project = “aula”": "aspas retas",
    "engine = docker": "`docker` não é conhecido aqui",
    "engine = 'docker": "aspas retas",
    "confirmar = true": "`true` não é conhecido aqui",
    "replicas = 2 # duas\n  port = 0": "A linha 2 não pode ser lida",
    "settings = {'work_mem': '8MB'": "não pode ser lida",
    "port = 5432,\nport + 1": "A linha 2 da célula",
    "cluster.check('slot')": "execute antes a célula com `cluster = open_cluster(",
    "escritor.wait_rows(200)": "execute antes a célula com `escritor = Writer(cluster).start()` (seção “3. ",
    "table(lag.slots(cluster))": "execute antes a célula com `from pgrepl_lib.notebook.tables import table`",
    "open": "",
    "[][1]": "A linha 1 da célula não pôde ser executada",
    "1/0": "ZeroDivisionError",
    "import pandas\npandas.DataFrame()['nada']": "A linha 2 da célula",
    "from pgrepl_lib.doors.wait import wait_until\nwait_until('', lambda: rebuild(), seconds=1)": "import rebuild` (seção",
    "from pgrepl_lib.doors.wait import wait_until\nwait_until('', lambda: [][1], seconds=1)": "A linha 2 da célula",
}


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A chapter's kernel that has executed nothing yet; other kernels come after it in this file."""
    with opened(Params.parse({}), tmp_path_factory.mktemp("kernel"), CHAPTER) as notebook:
        yield notebook


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_before_any_cell_was_executed(restarted: Notebook, line: str) -> None:
    told = MISTAKES[line]
    shown = restarted.run(line)
    if not told:
        assert not shown.error
        return
    assert (shown.error, shown.framed(), shown.english()) == ("ParameterError", False, {}), shown
    assert told in shown.texts[-1] and len(shown.texts[-1].splitlines()) <= 3
    assert "o que fazer" in shown.texts[-1]


def test_a_cluster_is_not_opened_without_its_parameters(restarted: Notebook) -> None:
    (opening,) = ["".join(c["source"]) for c in cells(CHAPTER) if c.get("id") == "abrir-cluster"]
    shown = restarted.run(opening)
    assert shown.error == "ParameterError" and not shown.framed()
    assert "execute antes a célula dos parâmetros" in shown.texts[-1]


def test_a_fault_of_ours_keeps_its_traceback(restarted: Notebook) -> None:
    shown = restarted.run("from pgrepl_lib.postgres import conf\nconf.quote_value(1)")
    assert shown.error == "TypeError" and shown.framed()


def test_where_nothing_is_installed_the_import_is_enough(tmp_path: Path) -> None:
    with opened(Params.parse({}), tmp_path) as notebook:
        assert notebook.run("engine = docker").framed()
        notebook.must(IMPORT)
        assert not notebook.run("engine = docker").framed()


def test_another_notebook_of_the_same_environment_is_left_alone(tmp_path: Path) -> None:
    with opened(Params.parse({}), tmp_path, "relatório") as notebook:
        notebook.must(
            "import sys\ndel sys.modules['pgrepl_lib.steps']  # our kernels load it first"
        )
        for line in ("engine = docker", "[][1]", "project = “aula”"):
            shown = notebook.run(line)
            assert shown.error in ("NameError", "IndexError", "SyntaxError") and shown.framed()


def test_all_chapters_and_their_exercises_are_known() -> None:
    assert ALL == CHAPTERS
    exercises = (f"{FOLDER.name}/{path.stem}" for path in sorted(FOLDER.glob("*.ipynb")))
    assert (*CHAPTERS, *exercises) == OURS
    found = binding("exercicios/04-monitoramento", "", "workshop")
    assert found and found.code == "from pgrepl_lib.exercises import workshop"


def test_the_nearest_cell_above_is_named() -> None:
    found = binding("04-monitoramento", "codigo", "codigo")
    later = [c for c in cells("04-monitoramento") if c.get("id") == "codigo-depois"]
    assert later and found and found.section == "Quando tocar o alarme"
    assert binding("05-falhas", "", "nada") is None
