"""`replay.sh`: what a run's steps displayed, typed by a plain shell, builds the same cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from pgrepl_lib import open_cluster
from pgrepl_lib.doors import db
from pgrepl_lib.errors import EnvironmentLacking
from pgrepl_lib.steps.replicas import follow

from ..conftest import DOCUMENT, MakeCluster, NewProject
from .running import Values, pgrepl

OWN = 'a password of the reader, his $own `one` "here"\n'
PLAIN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
}
PLAIN |= {
    name: os.environ[name] for name in ["DOCKER_CONFIG"] if name in os.environ
}  # where Compose v2 may be


@pytest.fixture(
    params=[
        {
            "engine": "local",
            "replicas": "2",
            "tls": "on",
            "replication_user": "Réplica do João's",
        },
        {"engine": "docker"},
        pytest.param({"engine": "docker", "tls": "on"}, marks=pytest.mark.long),
        pytest.param({"engine": "docker", **DOCUMENT}, marks=pytest.mark.long),
    ],
    ids=lambda given: " ".join(given.values()),
)
def values(
    request: pytest.FixtureRequest, workdir: Path, new_project: NewProject
) -> Iterator[Values]:
    given = dict(request.param)
    if given["engine"] == "docker":
        request.getfixturevalue("docker_ready")
    else:
        given["workdir"] = str(workdir / "w$(touch PWNED) d'água $x")
    with new_project(**given) as made:
        yield made


def said(command: str, values: Values) -> str:
    """What a command that succeeds prints, also where a umask would let everybody write."""
    done = pgrepl(command, values, umask=0)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sh(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(script)],
        cwd=script.parent,
        env=PLAIN,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


def drift(values: Values) -> None:
    """What a second run takes back."""
    cluster = open_cluster("", **values)
    (cluster.folder / "replica/pg_hba.conf").chmod(0o664)
    for instance in (cluster.primary, *cluster.replicas):
        db.rows(instance.address, "alter system set work_mem = '8MB'")
    role = sql.Identifier(values.get("replication_user", "repl"))
    db.rows(cluster.primary.address, sql.SQL("alter role {} superuser").format(role))


def last_run(folder: Path) -> Path:
    return sorted(folder.glob("runs/*"))[-1]


def test_the_displayed_commands_build_the_same_cluster(values: Values, tmp_path: Path) -> None:
    folder = Path(values["workdir"]) / values["project"]
    said("run", values)
    assert not [
        path for path in folder.rglob("*") if path.lstat().st_mode & 0o022 and not path.is_symlink()
    ]
    drift(values)
    said("run", values)
    first, again = ([*p.read_text().splitlines()] for p in sorted(folder.glob("runs/*/replay.sh")))
    assert first[2:] == again[2:], (
        "what was unchanged is replayed too, what was taken back is not; only the run's name differs"
    )
    journal = (last_run(folder) / "journal.jsonl").read_text("utf-8")
    assert (
        "chmod 644 replica/pg_hba.conf" in journal
        and "alter system reset" in journal
        and "nosuperuser" in journal
    )
    record = json.loads((folder / "cluster.json").read_bytes())
    assert record["topology"].pop("system_identifier")
    for secret in folder.glob("secrets/superuser"), folder.glob("secrets/replication"):
        assert all(s.read_text().strip() not in "\n".join(first) for s in secret)
    script = tmp_path / "replay.sh"
    script.write_text("\n".join(again) + "\n")
    assert not re.search(r"^\s*(\S*python\S*|pgrepl)(?![.\w])", script.read_text(), re.MULTILINE)
    assert shutil.which("pgrepl", path=PLAIN["PATH"]) is None

    said("down --yes", values)
    shutil.rmtree(folder)
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets/superuser").write_text("a password of the reader's own\n")
    (folder / "secrets/superuser").chmod(0o600)
    refused = sh(script)
    assert refused.returncode == 2 and "printable ASCII without ' : " in refused.stderr, (
        refused.stderr
    )
    assert [p.name for p in folder.iterdir()] == ["secrets"]
    (folder / "secrets/superuser").write_text(OWN)

    replayed = sh(script)
    assert replayed.returncode == 0, replayed.stdout[-2000:] + replayed.stderr[-2000:]
    assert ", 0 failed" in said("check", values)
    assert (folder / "secrets/superuser").read_text() == OWN
    replayed_as = json.loads((folder / "cluster.json").read_bytes())
    # Known to pgrepl from its next step on, and another cluster's anyway.
    assert not replayed_as["topology"].pop("system_identifier")
    assert replayed_as == {**record, "id": replayed_as["id"]} and len(replayed_as["id"]) == 32
    assert replayed_as["id"] != record["id"], "another cluster, though built from the same commands"
    assert json.loads(said("run --json", values))["steps"]["changed"] == 0, (
        "pgrepl finds nothing left to do"
    )

    before = sorted((p, p.stat().st_mtime_ns) for p in folder.glob("*/*.conf"))
    refused = sh(script)
    assert refused.returncode == 2 and "holds a cluster already" in refused.stderr
    assert sorted((p, p.stat().st_mtime_ns) for p in folder.glob("*/*.conf")) == before
    assert not (tmp_path / "PWNED").exists()

    partly = json.loads(said("run --json --from 03", values))
    assert partly["engine"]["postgres"].startswith("14"), (
        "a run that begins later knows its versions, too"
    )
    assert says_why_not(last_run(folder), "concluir os capítulos 00 a 03")
    if "replicas" in values:
        cluster = open_cluster("", **values)
        follow(cluster, "replica-2", "replica")
        said("run", values)
        assert says_why_not(last_run(folder), "o cluster já tinha sido operado")


def says_why_not(run: Path, why: str) -> bool:
    """Whether a run has left no script, and its report why."""
    return not (run / "replay.sh").exists() and why in (run / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    "password", ["it's", "a:b", "back\\slash", " led by a space", "sénha", "two\nlines"]
)
def test_a_password_that_would_not_work_is_refused_before_anything_is_done(
    open_with: MakeCluster, password: str
) -> None:
    cluster = open_with("local")
    secret = cluster.folder / "secrets/replication"
    secret.parent.mkdir(parents=True)
    secret.write_text(password + "\n")
    with pytest.raises(
        EnvironmentLacking, match=r"(?s)secrets/replication cannot be used.*remove the file"
    ):
        cluster.prepare()
    assert [p for p in cluster.folder.rglob("[!.]*") if p.is_file()] == [secret]
    secret.unlink()
