"""A notebook shows no English sentence, also where something fails, whatever the machine speaks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
import pytest

from pgrepl_lib import errors
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.errors import PgreplError

from ..conftest import MakeCluster, set_up_primary, set_up_replica
from ..func.test_checks import BREAKS
from ..portuguese import english_in
from .chapters import CHAPTERS, NOTEBOOKS
from .kernels import Notebook, Shown, opened

ITALICS = re.compile(r"(?<!\*)\*[^*]+\*(?!\*)")
CLASSES = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, PgreplError) and kind is not PgreplError
}

PREPARE = """
import os, signal, socket, threading
from pathlib import Path
import pytest
from pgrepl_lib import open_cluster
from pgrepl_lib.doors import db
from pgrepl_lib.journal.lock import run_lock
from pgrepl_lib.steps import replicas
from tests.func.test_checks import BREAKS, edited, made, stopped
values = {values!r}
cluster = open_cluster("", **values)
primary, replica = cluster.primary, cluster.replica
patch = pytest.MonkeyPatch()
"""

# What stops a cell, by the class of its error; each is provoked as a participant may, or the machine.
PARAMETERS = (  # more of them in tests/unit/test_params.py
    "project='Não serve'",
    "engine='podman'",
    "pg_version='quatorze'",
    "network='10.0.0.1/24'",
    "port=80",
    "settings={'port': 1}",
    "workdir='~ninguem/aqui'",
    "replicação=1",
)
ERRORS = {
    "ParameterError": [
        *(f"open_cluster('', **{{**values, **dict({given})}})" for given in PARAMETERS),
        "open_cluster('', **{**values, 'pg_version': 15})",
        "open_cluster('', **{**values, 'settings': {'no_such_setting': 1}})",
        "cluster.remove()",
        "replicas.remove(cluster, 'primary', confirm=True)",
        "(Path(values['workdir']) / 'danos').mkdir()\n"
        "(Path(values['workdir']) / 'danos/cluster.json').write_text('{')\n"
        "open_cluster('', **{**values, 'project': 'danos'})",
        "(Path(values['workdir']) / 'danos/cluster.json').write_text('{\"id\": 7, \"ports\": {}, \"params\": {}}')\n"
        "open_cluster('', **{**values, 'project': 'danos'})",
    ],
    "EnvironmentLacking": [
        "patch.setenv('DOCKER_HOST', 'unix:///nenhum.sock')\n"
        "open_cluster('', **{**values, 'project': 'sem-docker', 'engine': 'docker'})",
        "patch.setenv('DOCKER_HOST', 'ssh://x:y:z')\n"
        "open_cluster('', **{**values, 'project': 'sem-docker', 'engine': 'docker'})",
        "patch.setenv('DOCKER_CONTEXT', 'nenhum')\npatch.delenv('DOCKER_HOST', raising=False)\n"
        "open_cluster('', **{**values, 'project': 'sem-docker', 'engine': 'docker'})",
        "taken = socket.create_server(('127.0.0.1', values['port'] + 5))\n"
        "other = {**values, 'project': 'porta', 'port': values['port'] + 5}\n"
        "open_cluster('', **other).preflight()",
        "open_cluster('', **other).prepare()",
        "Path(values['workdir'], 'aberta').mkdir()\nPath(values['workdir'], 'aberta').chmod(0o777)\n"
        "open_cluster('', **{**values, 'project': 'aberta', 'port': 0}).prepare()",
        "open_cluster('', **{**values, 'workdir': '/dev/null/pasta', 'port': 0}).prepare()",
        "from pgrepl_lib.doors.command import Command, run\n"
        "run(Command(('nenhum-programa',)), cwd=Path('/'))",
    ],
    "ProjectBusy": [
        "with run_lock(cluster.folder): primary.start()",
        "another = open_cluster('', **values)\nanother.record()\n"
        "record = cluster.folder / 'cluster.json'\nbefore = record.read_text()\n"
        'record.write_text(before.replace(\'"params"\', \'"a": 1, "params"\'))\n'
        "try: another.restore()\nfinally: record.write_text(before)",
    ],
    "StepFailed": [
        "primary.query('select nada')",
        "primary.create_slot('Não serve')",
        "with stopped(primary): replicas.remove(cluster, 'replica', confirm=True)",
        "with stopped(primary): primary.query('select 1')",
        "with stopped(primary): primary.create_slot('outro')",
        "with stopped(replica): replica.pause_replay()",
        "open('/dev/null/nada')",
        "file = cluster.folder / 'primary/postgresql.conf'\nbefore = file.read_text()\n"
        "cluster.engine.stop('primary').do(print)\nfile.write_text(f'{before}work_mem = muita\\n')\n"
        "try: primary.start()\n"
        "finally:\n"
        "    file.write_text(before)\n"
        "    cluster.engine.start('primary').do(lambda line: None)\n"
        "    primary.wait_ready()",
    ],
    "CommandFailed": [
        "cluster.engine.run(cluster.engine.inside('primary', 'psql', '-c', 'select nada'))",
        "with edited(primary, 'pg_hba.conf', lambda s: f'local all all reject\\nhost replication all all reject\\n{s}'):\n"
        "    replicas.rebuild(cluster, 'replica')",
    ],
    "WaitTimeout": [
        "replica.wait_replayed('FF/0', 1)",
    ],
    "Interrupted": [
        "threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "replica.wait_replayed('FF/0', 60)",
    ],
}

# What fails each check beside what breaks it in test_checks.py, whose names begin in no capital.
FAILING = {
    "tablespaces": "space = Path('/tmp', 'espaço ' + values['project'])\nspace.mkdir()\n"
    "data = (cluster.folder / 'data/primary').stat()\nos.chown(space, data.st_uid, data.st_gid)\n"
    "db.rows(primary.address, f\"create tablespace fora location '{space}'\")",
    "drift": "from pgrepl_lib.drift import recorded\n"
    "with recorded.following(cluster, 'uma execução'): pass\n"
    "db.rows(primary.address, \"alter system set work_mem = '9MB'\")",
    "images": "cluster.engine.other_image = lambda name: 'postgres@sha256:1, postgres@sha256:2'",
    "checksums": "from pgrepl_lib.checks.claims import data\n"
    "data.CHECKSUMS = \"select 'on' as watched, 'postgres: 3' as failed\"",
    "libraries": "db.rows(primary.address, \"alter system set shared_preload_libraries = 'auto_explain'\")\n"
    "with stopped(primary): pass",
    "one-primary": "db.row(replica.address, 'select pg_promote()')",
}


@pytest.fixture(scope="module")
def notebook(
    open_with: MakeCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Notebook]:
    """A kernel on a machine that speaks English, beside a cluster that is set up."""
    cluster = open_with("local")
    set_up_primary(cluster)
    set_up_replica(cluster)
    with opened(cluster.params, tmp_path_factory.mktemp("kernel")) as made:
        values = {**cluster.params.plain(), "port": cluster.engine.ports["primary"]}
        made.must(PREPARE.format(values=values))
        yield made


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_holds_no_english(chapter: str) -> None:
    """What its prose cites of others is in italics; a log is PostgreSQL's own words."""
    for cell in nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells:
        if cell.id.endswith("-log"):
            continue
        shown = Shown([ITALICS.sub(" ", cell.source)] if cell.cell_type == "markdown" else [])
        for output in cell.get("outputs", []):
            shown.hear({"msg_type": output.output_type, "content": output})
        assert shown.english() == {}, cell.id


def test_every_class_of_errors_is_provoked() -> None:
    assert set(ERRORS) | {"CheckFailed"} == CLASSES


@pytest.mark.parametrize(
    ("kind", "cell"), [(kind, cell) for kind, cells in ERRORS.items() for cell in cells]
)
def test_an_error_is_told_in_portuguese(notebook: Notebook, kind: str, cell: str) -> None:
    shown = notebook.run(cell)
    notebook.must("patch.undo()")
    assert (shown.error, shown.english()) == (kind, {}), "\n".join(shown.texts)
    assert "o que fazer" in shown.texts[-1], shown.texts


@pytest.mark.parametrize("kind", ERRORS)
def test_english_would_be_found(notebook: Notebook, kind: str) -> None:
    notebook.must("from pgrepl_lib.words import language\nlanguage.speak('en')")
    shown = notebook.run(ERRORS[kind][0])
    notebook.must("patch.undo()\nlanguage.speak('')")
    assert english_in(shown.texts[-1]), shown.texts


def told_apart() -> list[str]:
    """The first break of each check in test_checks.py, and all of the one that says several things."""
    first = {name: what for what, (name, *_) in reversed(BREAKS.items())}
    return [w for w, (name, *_) in BREAKS.items() if name == "settings" or first[name] == w]


def test_every_check_is_broken_in_a_notebook() -> None:
    assert {BREAKS[what][0] for what in told_apart()} | set(FAILING) == set(CHECKS)


@pytest.mark.parametrize("what", told_apart())
def test_a_failed_check_is_told_in_portuguese(notebook: Notebook, what: str) -> None:
    shown = notebook.run(
        f"name, broken, _ = BREAKS[{what!r}]\n"
        "with broken(cluster, patch):\n"
        "    made(cluster, name, False)\n"
        "    cluster.check(name)"
    )
    assert (shown.error, shown.english()) == ("CheckFailed", {}), "\n".join(shown.texts)


@pytest.mark.parametrize("name", FAILING)
def test_another_failed_check_is_told_in_portuguese(notebook: Notebook, name: str) -> None:
    notebook.must(FAILING[name])
    shown = notebook.run(f"cluster.check({name!r})")
    assert (shown.error, shown.english()) == ("CheckFailed", {}), "\n".join(shown.texts)
