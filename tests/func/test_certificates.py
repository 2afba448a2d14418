"""`pgrepl rotate certificates`: new certificates, and another authority, while replication goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import SET_UP
from pgrepl_lib.checks.security.all import SECURITY
from pgrepl_lib.checks.status import status
from pgrepl_lib.cluster import restarts
from pgrepl_lib.doors import files
from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.logins.tls import certificates, succession, verifying
from pgrepl_lib.operations.security import renewing
from pgrepl_lib.steps.doing import Doing
from pgrepl_lib.steps.planning import changes, only_planned
from pgrepl_lib.steps.replicas import remove

from ..conftest import MakeCluster
from .operated import again, everything_recorded, failed_checks, make, wait_caught_up
from .running import of_cluster, pgrepl


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    return make(open_with, engine_name, tls="on")


def shown(cluster: Cluster) -> dict[str, str]:
    """What each server shows to whoever comes."""
    return {n: verifying.shown_by(cluster.instance(n).address) for n in cluster.topology.names}


def replicates(cluster: Cluster, folder: Path) -> str:
    """Whether somebody with these certificates and the password may replicate, and finds a server that he trusts."""
    at, secrets = cluster.primary.address, cluster.folder / "secrets"
    words: dict[str, Any] = {
        "host": at.host,
        "port": at.port,
        "user": "repl",
        "replication": "true",
    }
    words |= {"password": (secrets / "replication").read_text().strip(), "sslmode": "verify-full"}
    words |= {"sslrootcert": str(folder / "ca.crt"), "sslcert": str(folder / "replica.crt")}
    try:
        psycopg.connect(**words, sslkey=str(folder / "replica.key"), autocommit=True).close()
    except psycopg.OperationalError as error:
        return str(error)
    return "admitted"


@pytest.fixture
def kept(made: Cluster, tmp_path: Path) -> Path:
    """What was in `secrets/` before."""
    for file in (made.folder / "secrets").glob("*.*"):
        files.write_atomic(tmp_path / file.name, file.read_text(), 0o600)
    return tmp_path


@pytest.mark.parametrize("authority", [False, True], ids=["leaves", "authority"])
def test_they_are_renewed_under_a_writer(
    made: Cluster, open_with: MakeCluster, kept: Path, authority: bool
) -> None:
    """One replica is stopped meanwhile, and each row is compared at the end."""
    cluster, command = again(made, open_with), "rotate certificates" + " --authority" * authority
    before, recorded = shown(cluster), everything_recorded(cluster)
    cluster.replicas[1].stop()
    with only_planned(cluster) as planned:
        renewing.rotate(cluster, authority=authority)
    assert pgrepl(f"{command} --plan", of_cluster(made)).returncode == 0
    cluster.replicas[1].start()
    assert shown(cluster) == before and everything_recorded(cluster).keys() == recorded.keys()
    writer = Writer(cluster).start()
    writer.wait_rows(20)
    cluster.replicas[1].stop()
    entries = len(list(cluster.journal.entries()))
    done = pgrepl(command, of_cluster(made))
    assert done.returncode == 0, done.stderr
    steps = [e for e in [*cluster.journal.entries()][entries:] if e["kind"] == "step"]
    assert [p.title for p in changes(planned)] == [e["title"] for e in steps]
    assert {e["outcome"] for e in steps} == {"changed"}
    now = again(made, open_with)
    now.replicas[1].start()
    writer.wait_rows(20)
    wait_caught_up(now)
    report = writer.stop()
    assert (report.lost, report.doubled, report.outage < 5) == (0, 0, True)
    assert failed_checks(now, *SET_UP, "login") == {}
    assert SECURITY["certificates"](now).passed
    writer.forget()
    after = shown(now)
    assert all(after[name] != before[name] for name in before)
    assert not list((made.folder / "secrets").glob("ca.new*"))
    refused = "certificate verify failed|unknown ca" if authority else "admitted"
    assert any(word in replicates(now, kept) for word in refused.split("|"))
    assert replicates(now, made.folder / "secrets") == "admitted"


class Killed(BaseException):
    """What a process that is killed does not catch."""


def dying_at(number: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Whoever begins a step, writes a certificate or lets a server read it dies at the so-manieth time."""
    left = [number]

    def counting(work: Any) -> Any:
        def counted(*given: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return work(*given, **more)

        return counted

    patch.setattr(Doing, "do", counting(Doing.do))
    patch.setattr(certificates.files, "write_atomic", counting(files.write_atomic))
    patch.setattr(restarts, "reload", counting(restarts.reload))
    return left


@pytest.mark.long_on_docker
@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.long)])
def test_interrupted_anywhere_nobody_is_refused_and_doing_it_again_finishes_it(
    open_with: MakeCluster, made: Cluster, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    """Each time a replica is started anew: it has to log in with what is there by then."""
    number = 0
    while True:
        cluster = again(made, open_with)
        try:
            with monkeypatch.context() as patched:
                dying_at(number, patched)
                renewing.rotate(cluster, authority=True)
            break
        except Killed:
            number += stride
        now = again(made, open_with)
        assert failed_checks(now, "streaming", "login") == {}, number
        for name in ("replica", "primary")[: 1 + number % 2]:
            now.instance(name).stop()
            now.instance(name).start()
    assert number > 10
    assert failed_checks(again(made, open_with), *SET_UP, "login") == {}
    assert not succession.begun(made)


@pytest.mark.long_on_docker
def test_other_commands_go_on_with_an_interrupted_one(
    open_with: MakeCluster, made: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run and a new replica are no obstacle, and `secure` finishes it, too."""
    for number, commands in ((4, ["run", "replica add"]), (9, ["run", "secure"])):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            dying_at(number, patched)
            renewing.rotate(again(made, open_with), authority=True)
        for command in commands:
            done = pgrepl(command, of_cluster(made))
            assert done.returncode == 0, done.stderr
            assert failed_checks(again(made, open_with), "streaming", "login") == {}
            if command == "run":
                assert succession.begun(made) and not SECURITY["certificates"](made).passed
                assert "`pgrepl rotate certificates" in status(made)["certificates"]
    assert not succession.begun(made) and failed_checks(again(made, open_with)) == {}
    remove(again(made, open_with), "replica-3", confirm=True)
