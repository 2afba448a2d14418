"""The beginning of any chapter, from any state: from nothing, after others' changes of roles, and where data would be lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrepl_lib import open_cluster
from pgrepl_lib.journal.chapter import cells
from pgrepl_lib.params import Params
from tests.conftest import NewProject

from ..notebooks.kernels import opened
from .operated import failed_checks
from .running import Values, pgrepl


@pytest.fixture(scope="module")
def values(new_project: NewProject) -> Iterator[Values]:
    with new_project() as made:
        yield made


def goto(values: Values, where: str) -> dict[str, object]:
    done = pgrepl(f"goto {where} --json", values)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_chapter_that_does_not_exist_is_named(values: Values) -> None:
    done = pgrepl("goto 33", values)
    assert done.returncode == 2 and "no chapter '33'" in done.stderr
    done = pgrepl("goto 06 --exercise 99", values)
    assert done.returncode == 2 and "no exercise 99" in done.stderr
    done = pgrepl("reset", values)
    assert done.returncode == 2 and "pgrepl goto" in done.stderr


def test_from_nothing_and_from_what_another_chapter_left(values: Values) -> None:
    assert goto(values, "06")["chapter"] == "06-switchover"
    assert failed_checks(open_cluster("", **values)) == {}
    for command in ("replica add", "sync 'ANY 1'", "switchover --to replica --yes"):
        done = pgrepl(command, values)
        assert done.returncode == 0, done.stderr
    open_cluster("", **values).primary.kill()
    done = pgrepl("failover --to primary --force --yes", values)
    assert done.returncode == 0, done.stderr
    done = pgrepl("reset --json", values)
    assert json.loads(done.stdout)["chapter"] == "06-switchover"
    cluster = open_cluster("", **values)
    assert failed_checks(cluster) == {}
    found = cluster.topology
    assert (found.primary, found.replicas, found.fenced) == ("primary", ["replica"], {})
    assert not found.synchronous


def test_data_are_lost_only_once_that_is_confirmed(values: Values) -> None:
    done = pgrepl("goto 02", values)
    assert done.returncode == 2 and "goto" in done.stderr and "--yes" in done.stderr
    assert failed_checks(open_cluster("", **values)) == {}
    assert goto(values, "02 --yes")["chapter"] == "02-instancia-replica"
    cluster = open_cluster("", **values)
    assert cluster.primary.answers()[0] and not cluster.engine.has_data("replica")


def test_the_cell_that_opens_the_cluster_goes_there_once_its_line_is_no_comment(
    values: Values, tmp_path: Path
) -> None:
    chapter = "06-switchover"
    (opening,) = ["".join(c["source"]) for c in cells(chapter) if c["id"] == "abrir-cluster"]
    going = opening.replace("# %pgrepl", "%pgrepl")
    with opened(Params.parse({}), tmp_path, chapter) as notebook:
        shown = notebook.run(going)
        assert shown.error == "ParameterError" and "célula dos parâmetros" in shown.texts[-1]
        notebook.must("\n".join(f"{name} = {value!r}" for name, value in values.items()))
        shown = notebook.run(going)
        assert not shown.error and "está no começo do capítulo 06" in str(shown.texts), shown
        assert not shown.english()
        shown = notebook.run("%pgrepl goto 02")
        assert "os dados seriam perdidos" in shown.trace and not shown.framed(), shown
        shown = notebook.run('%pgrepl goto "')
        assert shown.error == "ParameterError" and not shown.framed()
    assert failed_checks(open_cluster("", **values)) == {}
