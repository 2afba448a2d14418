"""A project whose runner is killed after every step and in the middle of the long ones, and what must be true then."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import nbformat
import psutil
import psycopg
from docker.errors import DockerException

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.doors import db
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.journal import audit
from pgrepl_lib.journal.runs import SUMMARY, Run

from .running import Forks, Running, Values, all_runs, folder_of, pgrepl

LINES = {"01": 13, "02": 14, "03": 10}  # the steps and checks of each chapter
# The long ones, by the lines before them: what is seen while they are at work, and whether the whole tree is killed then.
MIDDLE = {
    ("01", 1): [("temporary", True)],
    ("01", 9): [("initdb", False), ("primary", True)],
    ("02", 1): [("backup", True), ("backup", False)],
    ("02", 11): [("replica", False)],
}
# They work on a temporary instance, and so until it has done its work.
TEMPORARY = {
    "Executar a instância temporária e esperar que aceite conexões",
    "Deixar primary_conninfo com um só dono",
}
FILLER = "create table filler as select i, repeat(md5(i::text), 30) as t from generate_series(1, 100000) i"  # 110 MB


class Interrupted:
    """One project, run again and again; each run is killed a little later than the one before.

    tree: whether after an even line the kernel and its commands are killed too, or those after an odd one; the others end
    by themselves.
    """

    def __init__(self, values: Values, *, tree: bool) -> None:
        self.values, self.tree = values, tree
        self.folder = folder_of(values)
        self.kills = self.rows = 0
        self.kept: dict[str, str] = {}

    @property
    def cluster(self) -> Cluster:
        return open_cluster("", **self.values)

    def kill_everywhere(self) -> None:
        """After every line of chapters 01 to 03, and in the middle of the long steps."""
        with Forks() as forks:
            for chapter, lines in LINES.items():
                for line in range(1, lines + 1):
                    for seen, tree in MIDDLE.get((chapter, line - 1), []):
                        if self.values["engine"] == "local" or seen != "initdb":
                            self._run(forks, chapter, AtWork(self.values, seen), line - 1, tree)
                    self._run(forks, chapter, lambda: True, line, (line % 2 == 0) is self.tree)

    def _run(
        self, forks: Forks, chapter: str, seen: Callable[[], bool], lines: int, tree: bool
    ) -> None:
        with Running(self.values, "--from", chapter, "--to", chapter, forks=forks) as running:
            running.wait(f"line {lines}", lambda: len(running.titles()) >= lines and seen())
            running.kill(whole_tree=tree)
        self.kills += 1
        self._keep()

    def _keep(self) -> None:
        """Remember what must stay as it is, and write a row that must not be lost."""
        found = {
            s.name: s.read_text()
            for s in self.folder.glob("secrets/*")
            if s.name in ("superuser", "replication")
        }
        with suppress(psycopg.Error, FileNotFoundError):
            address = self.cluster.primary.address
            found |= db.row(
                address, "select system_identifier::text as identifier from pg_control_system()"
            )
            if not self.rows:
                db.rows(address, "create table kept (n int primary key)")
                db.rows(address, FILLER)
            db.rows(address, "insert into kept values (%s)", [self.rows + 1])
            self.rows += 1
        for name, value in found.items():
            assert self.kept.setdefault(name, value) == value, f"{name} is another one now"

    # --- in the end ----------------------------------------------------------------------------------------------

    def require_all_well(self) -> None:
        """The next run goes on to the end; then all is as if nobody had ever been killed."""
        resumed = pgrepl("run", {k: self.values[k] for k in ("project", "workdir")}, "--resume")
        assert resumed.returncode == 0, resumed.stderr
        done = pgrepl("run", self.values)
        assert done.returncode == 0 and "completed: 0 steps changed" in done.stdout, (
            done.stdout + done.stderr
        )
        assert pgrepl("check", self.values).returncode == 0
        self._keep()
        assert set(self.kept) == {"superuser", "identifier", "replication"}
        self._require_true_records()
        self._require_nothing_doubled()
        self._require_nothing_left()
        self._require_nothing_lost()

    def _require_true_records(self) -> None:
        listed = json.loads(pgrepl("runs", self.values, "--json").stdout)
        assert [r["status"] for r in listed] == ["killed"] * self.kills + ["completed"] * 2
        found = all_runs(self.values)
        assert (
            [r.name for r in found] == [r["run"] for r in listed] == sorted(r.name for r in found)
        )
        assert found[-2].first("run")["resumes"] == found[-3].name and "resumes" not in found[
            -1
        ].first("run")
        for run in found:
            assert audit.Journal(run.folder).first_broken_line() is None, run.name
            for notebook in run.folder.glob("*.ipynb"):
                status = nbformat.read(notebook, 4).metadata.pgrepl.status
                lines = [
                    e
                    for e in run.entries
                    if e["kind"] in ("step", "check") and e["chapter"] == notebook.stem
                ]
                whole = (
                    run.status == "completed" or len(lines) == LINES[notebook.stem[:2]]
                )  # killed when all was done
                assert status == "running" or (whole and status == "completed"), (
                    run.name,
                    notebook.stem,
                    len(lines),
                )
                assert status == "completed" or run.status == "killed"
        changed = Counter(
            (s["chapter"], s["title"])
            for r in found
            for s in r.of("step")
            if s["outcome"] == "changed"
        )
        twice = {title for (_, title), times in changed.items() if times > 1}
        assert twice <= TEMPORARY, changed
        assert len(changed) in range(24 - len(MIDDLE), 25), (
            "one that was killed at its end is found done"
        )
        assert not [
            s for r in found for s in r.of("step") if s["outcome"] in ("failed", "interrupted")
        ]

    def _require_nothing_doubled(self) -> None:
        blocks = {
            n: re.findall(r"^# >>> pgrepl: (\w+)", (self.folder / n).read_text(), re.M)
            for n in (
                "primary/postgresql.conf",
                "primary/pg_hba.conf",
                "replica/postgresql.conf",
                "replica/pg_hba.conf",
            )
        }
        assert blocks == {
            "primary/postgresql.conf": ["settings"],
            "primary/pg_hba.conf": ["replication"],
            "replica/postgresql.conf": ["settings", "standby"],
            "replica/pg_hba.conf": ["replication"],
        }
        address = self.cluster.primary.address
        assert db.rows(address, "select slot_name as n from pg_replication_slots") == [
            {"n": "replica_1_slot"}
        ]
        assert db.rows(
            address, "select rolname as n from pg_roles where rolreplication order by 1"
        ) == [{"n": "postgres"}, {"n": "repl"}]
        assert db.rows(address, "select pid from pg_stat_replication", [])[1:] == []

    def _require_nothing_left(self) -> None:
        """No temporary instance, no mark of an unfinished one, no holder of a lock, no half file, no process."""
        existing = " ".join(self.cluster.existing())
        assert (
            "temp" not in existing
            and existing.count("container ") in (0, 2)
            and existing.count("volume ") in (0, 2)
        )
        left = [
            p.name
            for p in [
                *self.folder.glob(".*"),
                *self.folder.glob("*/.*"),
                *self.folder.glob("data/*"),
            ]
        ]
        wanted = {".run.lock", ".step.lock", ".env", "primary", "replica"}
        assert set(left) <= wanted, left
        project = re.compile(rf"\b{self.values['project']}\b")
        servers = [self.folder.resolve() / "data" / n for n in ("primary", "replica")]
        others = [
            p.info
            for p in psutil.process_iter(["cwd", "cmdline", "status"])
            if project.search(str(p.info))
            and p.info["status"] != "zombie"
            and Path(p.info["cwd"] or "/") not in servers
        ]
        assert [o for o in others if "pytest" not in str(o["cmdline"])] == []

    def _require_nothing_lost(self) -> None:
        cluster = self.cluster
        assert {n: s for n, c in CHECKS.items() if not (s := c(cluster)).passed} == {}
        for instance in (cluster.primary, cluster.replica):
            assert [
                r["n"] for r in db.rows(instance.address, "select n from kept order by 1")
            ] == list(range(1, self.rows + 1))
            assert db.row(instance.address, "select count(*) as n from filler") == {"n": 100_000}


# --- what is at work -----------------------------------------------------------------------------------------------


class AtWork:
    """Whether a long step's program, or on Docker its container, is there now.

    A base backup would be done in a second: it is stopped when it is seen, and so lasts until somebody ends it.
    """

    LOCAL: ClassVar = {
        "temporary": ("initdb", "pg_temp"),
        "initdb": ("initdb", "primary.new"),
        "primary": ("pg_ctl", "data/primary"),
        "backup": ("pg_basebackup", "repl_temp"),
        "replica": ("pg_ctl", "data/replica"),
    }

    def __init__(self, values: Values, what: str) -> None:
        self.project, self.folder, self.what = values["project"], folder_of(values), what
        self.look = self._local if values["engine"] == "local" else self._docker
        self.stopped: psutil.Process | None = None

    def __call__(self) -> bool:
        with suppress(psutil.NoSuchProcess, DockerException):
            found = self.look()
            if found and self.what == "backup":
                self.stopped = psutil.Process(found)
                if self.stopped.status() == psutil.STATUS_STOPPED:
                    return False  # of a run before, which was ended
                self.stopped.suspend()
            return bool(found)
        return False

    def go_on(self) -> None:
        if self.stopped:
            self.stopped.resume()

    def _local(self) -> int:
        program, argument = self.LOCAL[self.what]
        if self.what == "backup" and not (self.folder / "data/repl_temp/base/1").exists():
            return 0  # the process is there a little before it works
        mine = (
            p
            for p in psutil.process_iter(["name", "cwd", "cmdline"])
            if p.info["name"] == program and p.info["cwd"] == str(self.folder.resolve())
        )
        return next((p.pid for p in mine if argument in " ".join(p.info["cmdline"] or [])), 0)

    def _docker(self) -> int:
        client = docker_host.client()
        if self.what == "temporary":
            return int(client.containers.get(f"{self.project}_pg_temp").status == "running")
        if self.what == "backup":
            rows = client.containers.get(f"{self.project}_repl_temp").top()["Processes"] or []
            return next((int(r[1]) for r in rows if "pg_basebackup" in r[-1]), 0)
        labels = [
            f"com.docker.compose.project={self.project}",
            f"com.docker.compose.service={self.what}",
            "com.docker.compose.oneoff=False",
        ]
        return len(client.containers.list(all=True, filters={"label": labels}, ignore_removed=True))


# --- ended from outside --------------------------------------------------------------------------------------------

ENDS = {
    "SIGTERM": (130, "interrupted"),
    "SIGINT": (130, "interrupted"),
    "kernel": (1, "failed"),
    "server": (1, "failed"),
}
BANNER = {"interrupted": "Esta execução foi interrompida", "failed": "Este capítulo falhou"}


def stopped_in_every_way(values: Values) -> None:
    """SIGTERM, the kernel killed, Ctrl-C, the server killed, each in the middle of a long step; then it is gone on with."""
    for end, step in {
        "SIGTERM": "temporary",
        "kernel": "primary",
        "SIGINT": "backup",
        "server": "backup",
    }.items():
        with Running(values, *(["--resume"] if all_runs(values) else [])) as running:
            running.wait(step, seen := AtWork(values, step))
            if end == "kernel":
                running.kernel().kill()
            if end == "server":
                open_cluster("", **values).engine.kill("primary").do(print)
                seen.go_on()
            _require_told(
                all_runs(values)[-1],
                end,
                *running.end(signal.Signals[end] if end in signal.Signals.__members__ else None),
            )
    done = pgrepl("run", values, "--resume")
    assert done.returncode == 0, done.stderr
    found = all_runs(values)
    assert [r.status for r in found] == [
        "interrupted",
        "failed",
        "interrupted",
        "failed",
        "completed",
    ]
    assert [r.first("run").get("resumes") for r in found] == [None, *(r.name for r in found[:-1])]
    assert pgrepl("check", values).returncode == 0
    assert pgrepl("verify", values, found[2].name).returncode == 0, (
        "one that was interrupted is signed, too"
    )


def _require_told(run: Run, end: str, code: int, errors: str) -> None:
    """The exit code, the message, the journal, the notebook and the summary tell the same."""
    run = Run(run.folder)
    assert (code, run.status) == ENDS[end], errors
    assert "Traceback" not in errors and "run again" in errors, errors
    assert [c.status for c in run.chapters if c.began][-1] == run.status
    assert json.loads((run.folder / SUMMARY).read_text())["status"] == run.status
    notebook = nbformat.read(sorted(run.folder.glob("*.ipynb"))[-1], 4)
    assert notebook.metadata.pgrepl.status == run.status and BANNER[run.status] in "".join(
        c.source for c in notebook.cells[:3]
    )
    unfinished = [c for c in notebook.cells if c.cell_type == "code" and c.execution_count is None]
    assert unfinished and not any(c.metadata.papermill.status == "completed" for c in unfinished)
