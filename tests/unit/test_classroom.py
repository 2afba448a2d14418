"""A class as data: names, ports, passwords, limits; nothing here needs root."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pgrepl_lib.classroom import activity, limits, looking, making, passwords, roster, users
from pgrepl_lib.classroom.roster import Class
from pgrepl_lib.errors import EnvironmentLacking, ParameterError, ProjectBusy
from pgrepl_lib.journal.lock import run_lock

PROXY = Path(limits.__file__).parent / "proxy"


@pytest.fixture
def classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(roster, "CLASSES", tmp_path / "classes")
    return tmp_path / "classes"


def made(name: str, *people: str) -> Class:
    found = Class(name=name)
    roster.with_people(found, people)
    (roster.CLASSES / name).mkdir(parents=True)
    found.write()
    return found


def test_each_participant_has_ports_that_nobody_else_has(classes: Path) -> None:
    first, second = made("one", "ana", "bia"), made("two", "ana")
    ports = [p.port for c in (first, second) for p in c.people.values()]
    assert len(set(ports)) == 3 and all(p % roster.PORTS_EACH == 0 for p in ports)
    assert [c.name for c in roster.classes()] == ["one", "two"]
    del first.people["ana"]
    first.write()
    roster.with_people(first, ["caio"])
    assert first.people["caio"].port == ports[0], "what is free is taken first"


def test_who_a_login_is(classes: Path) -> None:
    found = made("turma", "ana", "turma")
    assert found.who("turma-ana") == found.people["ana"]
    assert found.who("turma-turma") == found.people["turma"]
    assert [found.who(n) for n in ("ana", "turma", "turma-", "root", "outra-ana")] == [None] * 5


@pytest.mark.parametrize("name", ["", "A", "a b", "1a", "../x", "a-b", "é", "a" * 17])
def test_a_name_that_no_class_can_have_is_refused(classes: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="nothing was touched"):
        roster.read(name)


@pytest.mark.parametrize("given", ["Ana", "ana bia", "a--b", "-a", "é", "ana,ana", "a" * 16])
def test_a_name_that_no_participant_can_have_is_refused(given: str) -> None:
    with pytest.raises(ParameterError, match="nothing was touched"):
        roster.names_of(given, 0)


def test_names_or_numbers() -> None:
    assert roster.names_of("", 2) == ["p01", "p02"]
    assert roster.names_of(" ana, bia-1,", 0) == ["ana", "bia-1"]
    with pytest.raises(ParameterError):
        roster.names_of("ana,bia", 3)


def test_a_damaged_description_is_told(classes: Path) -> None:
    made("turma")
    (classes / "turma" / roster.FILE).write_text("{")
    with pytest.raises(ParameterError, match="no description of a class any more"):
        roster.existing("turma")


def test_a_password_is_kept_as_its_digest_alone(classes: Path) -> None:
    words = {passwords.new() for _ in range(50)}
    assert len(words) == 50 and all(len(w) == 13 for w in words)
    word = words.pop()
    kept = passwords.digest(word)
    assert word not in kept and passwords.digest(word) != kept
    assert passwords.fits(word, kept) and not passwords.fits(words.pop(), kept)
    assert not passwords.fits("", "") and not passwords.fits(word, "")


def test_two_commands_do_not_change_a_class_at_once(classes: Path) -> None:
    with roster.held("turma"):
        with pytest.raises(ProjectBusy, match="Another command"), roster.held("turma"):
            pass
        lock = classes / "turma" / roster.HUB
        assert lock.stat().st_mode & 0o777 == 0o700, "no participant can hold it"
    with roster.held("turma"):
        pass


def test_too_little_space_is_told(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "SPACE_EACH", 10**18)
    found = made("turma", "ana")
    with pytest.raises(EnvironmentLacking, match="GB free in") as refused:
        making.require(found, found.people.values())
    assert "nothing was touched" in str(refused.value)


def test_what_is_written_is_for_root_alone(classes: Path) -> None:
    found = made("turma", "ana")
    roster.keep_password(found, "ana", "word")
    for name in (roster.FILE, roster.PASSWORDS):
        assert (classes / "turma" / name).stat().st_mode & 0o777 == 0o600
    assert roster.passwords(found) == {"ana": "word"}
    roster.keep_password(found, "ana", None)
    assert roster.passwords(found) == {}


def test_a_user_with_anothers_mark_or_an_early_number_is_nobody_of_ours(classes: Path) -> None:
    found = made("turma", "ana")
    assert users.ours(found, "root") is None and users.ours(found, "turma-ana") is None


def test_limits_are_a_cgroup_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in its place takes what the kernel would."""
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    assert limits.group("turma-ana", 512, 100) is None
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    (tmp_path / "cgroup.subtree_control").write_text("")
    found = limits.group("turma-ana", 512, 100)
    assert found == tmp_path / "pgrepl/turma-ana"
    told = {p.name: p.read_text() for p in found.iterdir()}
    assert told == {"memory.max": str(512 * 1024**2), "pids.max": "100"}
    for folder in (tmp_path, tmp_path / "pgrepl"):
        assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids"


ENTER = """
from pgrepl_lib.classroom import limits
limits.entering("nobody-of-ours", 512, 4000)()
import resource
print(resource.getrlimit(resource.RLIMIT_DATA)[1], resource.getrlimit(resource.RLIMIT_NPROC)[1])
try:
    bytearray(1024**3)
except MemoryError:
    print("refused")
"""


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NPROC)[1] not in (resource.RLIM_INFINITY, 4000)
    and os.geteuid() != 0,
    reason="this user may not raise it",
)
def test_a_process_that_wants_more_memory_is_told_so() -> None:
    done = subprocess.run([sys.executable, "-c", ENTER], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(512 * 1024**2), "4000", "refused"]


class Kernels:
    """What the notebook server knows of its kernels."""

    def __init__(self, *states: str) -> None:
        self.states = states

    def list_kernel_ids(self) -> list[int]:
        return list(range(len(self.states)))

    def get_kernel(self, number: int) -> Kernels:
        self.execution_state = self.states[number]
        return self


def test_work_that_goes_on_counts_as_activity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "default_workdir", lambda: tmp_path)
    assert not activity.working(Kernels("idle")) and activity.working(Kernels("idle", "busy"))
    with run_lock(tmp_path / "ana"):
        assert activity.working(Kernels())
    assert not activity.working(Kernels())


def test_the_proxy_is_pinned_and_names_no_registry() -> None:
    lock = json.loads((PROXY / "package-lock.json").read_text("utf-8"))
    asked = json.loads((PROXY / "package.json").read_text("utf-8"))["dependencies"]
    assert lock["packages"][""]["dependencies"] == asked
    parts = [p for name, p in lock["packages"].items() if name]
    assert parts and all(p["integrity"].startswith("sha512-") for p in parts)
    assert "://" not in "".join(str(p.get("resolved", "")) for p in parts)


def test_the_page_escapes_what_it_is_given(tmp_path: Path) -> None:
    person = {"name": "<b>", "login": "t-<b>", "password": None}
    seen = {"class": "t", "address": "https://x:1", "fingerprint": "AB12", "people": [person]}
    seen["own_certificate"] = True
    looking.write_cards(tmp_path / "page.html", seen)
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "&lt;b&gt;" in text and "<b>" not in text and "AB:12" in text and "(not kept)" in text
