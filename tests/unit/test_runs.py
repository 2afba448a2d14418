"""The runs of a project: each is the one that its name says, none is taken for another, and an odd journal stops nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pgrepl_lib.cli import review
from pgrepl_lib.cli.main import main
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.evidence import evidence, junit, pictures, report, verdict
from pgrepl_lib.evidence.signing import attestation, keys
from pgrepl_lib.evidence.signing.statements import STATEMENT
from pgrepl_lib.journal import audit, compare, records, runs
from pgrepl_lib.journal.audit import FILE as JOURNAL
from pgrepl_lib.journal.runs import Run
from pgrepl_lib.runner import task
from pgrepl_lib.words.text import t

from ..journals import Line, begun, completed, journal, stopped

KILLED, FAILED, LAST = "20261123T200000Z", "20261123T210000Z", "20261123T220000Z"


def ran(project: Path, name: str, status: str = "completed") -> Run:
    """A run that a project has had, signed unless it was killed."""
    audit.Journal(project).record("run", run=name)
    lines = completed() if status == "completed" else stopped(status)
    lines[0]["name"], lines[0]["params"]["project"] = name, project.name
    run = journal(project / "runs" / name, lines)
    if status != "killed":
        evidence.write_summary(Run(run.folder))
        attestation.seal(run, keys.signer())
    return run


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a killed run, a failed one that goes on from it, one that completed, and one more."""
    project = tmp_path_factory.mktemp("original") / "demo"
    (
        ran(project, KILLED, "killed"),
        ran(project, FAILED, "failed"),
        ran(project, "20261123T213000Z"),
        ran(project, LAST),
    )
    return project


@pytest.fixture
def project(original: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "demo"))


def pgrepl(project: Path, *words: str | Path) -> Result:
    """A command about the project, in this process, as on a terminal."""
    arguments = [
        str(words[0]),
        "--project",
        "demo",
        "-p",
        "workdir",
        str(project.parent),
        *map(str, words[1:]),
    ]
    done = CliRunner().invoke(main, arguments, color=True)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def statuses(project: Path) -> dict[str, str]:
    return {
        row["run"]: row["status"] for row in json.loads(pgrepl(project, "runs", "--json").stdout)
    }


# --- which run it is -----------------------------------------------------------------------------------------


def test_verify_names_the_run_that_it_has_verified(project: Path, tmp_path: Path) -> None:
    done = pgrepl(project, "verify")
    assert done.exit_code == 0 and done.stdout.startswith(
        f"verified: run {LAST} of project demo, 14 lines, "
    ), done.stdout
    assert pgrepl(project, "verify", LAST).stdout == done.stdout
    copy = shutil.copytree(project / "runs" / LAST, tmp_path / "copy")
    assert pgrepl(project, "verify", copy).stdout == done.stdout, (
        "a copy may have any name, and the signed one is told"
    )
    told = json.loads(pgrepl(project, "verify", FAILED, "--json").stdout)
    assert (told["verified"], told["run"], told["project"], told["status"]) == (
        True,
        FAILED,
        "demo",
        "failed",
    )
    (copy / "added").touch()
    assert pgrepl(project, "verify", copy).stdout.startswith(
        f"not verified: run {LAST} of project demo\n  added: is in the"
    )


def test_another_run_in_the_place_of_one_is_not_verified(project: Path, tmp_path: Path) -> None:
    """Both are signed, so that by itself each holds."""
    place = project / "runs" / FAILED
    shutil.rmtree(place)
    shutil.copytree(project / "runs" / LAST, place)
    for asked in (FAILED, place):
        done = pgrepl(project, "verify", asked)
        assert (
            done.exit_code == 1
            and f"is of run {LAST} of project demo, not of run {FAILED} of demo" in done.stdout
        )
    assert statuses(project)[FAILED] == "misnamed"
    (project / JOURNAL).unlink()
    assert pgrepl(project, "verify", FAILED).exit_code == 1, (
        "also where nothing else says that this is a project"
    )
    shutil.rmtree(place)
    shutil.copytree(ran(tmp_path / "other" / "another", FAILED).folder, place)
    assert (
        f"is of run {FAILED} of project another, not of run {FAILED} of demo"
        in pgrepl(project, "verify", FAILED).stdout
    )


@pytest.mark.parametrize("whole", [True, False])
def test_the_run_before_is_never_taken_for_a_last_one_that_is_missing(
    project: Path, whole: bool
) -> None:
    folder = project / "runs" / LAST
    shutil.rmtree(folder) if whole else (folder / JOURNAL).unlink()
    for asked in ([], [LAST]):
        done = pgrepl(project, "verify", *asked)
        assert done.exit_code == 1 and done.stdout.startswith(f"not verified: run {LAST}"), (
            done.stdout
        )
        assert "is missing" in done.stdout and not done.stderr
        done = pgrepl(project, "report", *asked)
        assert done.exit_code == 2 and f"The journal of run {LAST} is missing" in done.stderr
    assert (
        statuses(project)[LAST] == "missing" and list(statuses(project).values())[-2] == "completed"
    )


def test_an_older_run_that_is_missing_is_told(project: Path, tmp_path: Path) -> None:
    """Somebody may have made room: what was signed after it stays verified, but for the run that goes on from it."""
    shutil.rmtree(project / "runs" / KILLED)
    done = pgrepl(project, "verify")
    assert (done.exit_code, done.stdout.splitlines()[1:]) == (
        1,
        [
            f"  runs/{KILLED}: is missing, or has no journal: the project's journal says that this run began"
        ],
    )
    assert pgrepl(project, "verify", LAST).exit_code == 0
    done = pgrepl(project, "verify", FAILED)
    assert (done.exit_code, done.stdout.splitlines()[1:]) == (
        1,
        [
            f"  runs/{KILLED}: is missing: this run was signed as going on from it (it was killed, with 7 lines)"
        ],
    )
    assert (
        pgrepl(
            project, "verify", shutil.copytree(project / "runs" / FAILED, tmp_path / "copy")
        ).exit_code
        == 0
    )


def changed_before(project: Path) -> Iterator[tuple[str, Callable[[], Any], str, str]]:
    """What may be done to the runs before one: the run that is looked at, the change, which run is told of, and what."""
    killed, path = KILLED, project / "runs" / KILLED / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    other = "is not what this run was signed as going on from: "
    yield (
        FAILED,
        lambda: path.write_bytes(b"".join(lines[:-1])),
        killed,
        f"{other}lines is 6, was 7, last is ",
    )
    yield (
        FAILED,
        lambda: path.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b"true", b"rm")])),
        killed,
        f"{other}last is ",
    )
    yield (
        FAILED,
        lambda: audit.Journal(path.parent).record("end", status="completed"),
        killed,
        f"{other}status is completed, was",
    )
    yield FAILED, lambda: path.write_bytes(b""), killed, f"{other}lines is 0, was 7"
    yield (
        LAST,
        lambda: ran(project, "20261123T213000Z", "failed"),
        "20261123T213000Z",
        "is failed, and this run was not signed as",
    )
    between = shutil.copytree(project / "runs" / LAST, project / "between")
    yield (
        FAILED,
        lambda: put_between(project, between),
        "20261123T203000Z",
        f"comes between this run and {killed}, which this run",
    )


def put_between(project: Path, folder: Path) -> None:
    """A run that has never been there, in folder and project's journal."""
    shutil.move(folder, project / "runs/20261123T203000Z")
    path = project / JOURNAL
    path.unlink()
    for name in (KILLED, "20261123T203000Z", FAILED, LAST):
        audit.Journal(project).record("run", run=name)


@pytest.mark.parametrize("number", range(6))
def test_the_run_that_it_goes_on_from_must_be_the_signed_one(project: Path, number: int) -> None:
    name, change, where, what = list(changed_before(project))[number]
    assert pgrepl(project, "verify", name).exit_code == 0
    change()
    done = pgrepl(project, "verify", name)
    assert done.exit_code == 1 and f"\n  runs/{where}: {what}" in done.stdout, done.stdout


# --- which run is the last -----------------------------------------------------------------------------------

DAMAGED = [
    b"",
    b"{",
    b"\xff",
    b"[" * 9999,
    b"7",
    b'{"kind":"run"}',
    b'{"kind":"run","run":[]}',
    b'{"kind":[],"run":"x"}',
    b'{"kind":"run","run":"../../x"}',
    b'{"kind":"run","run":"\\u0000"}',
    b'{"kind":"run","run":""}',
]


@pytest.mark.parametrize("place", range(4))
def test_a_damaged_line_of_the_projects_journal_changes_no_order_and_stops_nothing(
    project: Path, place: int
) -> None:
    path = project / JOURNAL
    lines, expected = path.read_bytes().splitlines(), [KILLED, FAILED, "20261123T213000Z", LAST]
    for damaged in DAMAGED:
        path.write_bytes(b"\n".join([*lines[:place], damaged, *lines[place + 1 :], b""]))
        assert [r.name for r in runs.of_project(project)] == expected, damaged
        done = pgrepl(project, "verify")
        assert (
            done.exit_code == 1
            and f"../../journal.jsonl, line {place + 1}: does not carry the hash" in done.stdout
        )
        assert pgrepl(project, "verify", LAST).exit_code == 0
        assert set(statuses(project)) == set(expected), "and no folder elsewhere is taken for a run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit.Journal, "record", lambda *_, **__: None)  # the journal stays as it is
        assert ran(project, "20261123T230000Z").folder.joinpath(STATEMENT).exists(), (
            "the next one is signed"
        )


def test_the_order_is_that_of_the_journal_and_a_folder_that_it_does_not_name_is_not_the_last(
    project: Path,
) -> None:
    ran(project, "20251231T000000Z")  # the clock was set back
    shutil.copytree(project / "runs" / LAST, project / "runs/20301231T000000Z")
    assert [r.name for r in runs.of_project(project)][0::5] == [
        "20301231T000000Z",
        "20251231T000000Z",
    ]
    assert pgrepl(project, "verify").stdout.startswith("verified: run 20251231T000000Z of")
    (project / JOURNAL).unlink()
    done = pgrepl(project, "verify")
    assert done.exit_code == 1 and "../../journal.jsonl: does not name run" in done.stdout


def test_only_a_run_that_left_a_journal_is_resumed(project: Path) -> None:
    audit.Journal(project).record("run", run="20261123T230000Z")
    given = {"project": "demo", "workdir": str(project.parent)}
    assert task.unfinished(given, "", "") == task.Task({**begun()["params"], **given}, [], LAST)
    for path in (project / "runs").glob(f"*/{JOURNAL}"):
        path.write_bytes(b'{"kind": "run"}\n')
    with pytest.raises(ParameterError, match="does not say what it was to do"):
        task.unfinished(given, "", "")
    shutil.rmtree(project / "runs")
    with pytest.raises(ParameterError, match="The journal of run 20261123T230000Z is missing"):
        task.unfinished(given, "", "")


# --- odd journals --------------------------------------------------------------------------------------------

ODD: list[Any] = [
    None,
    7,
    10**400,
    float("nan"),
    True,
    "x",
    "0001-01-01T00:00:00+14:00",
    [],
    [[]],
    {},
    {"name": {}},
    {"x": {"role": []}},
    {"x": {"name": "y", "upstream": "x"}},
]


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a line something else could stand, also deep in it."""
    for key, found in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*before, key)
        yield from places(found, (*before, key)) if isinstance(found, (dict, list)) else ()


def odd_lines() -> Iterator[tuple[int, Line]]:
    """Every field of every kind of line with every odd value, once; and the number of the line."""
    seen = set()
    for number, line in enumerate([*completed(), begun(name="x", language="en")]):
        if line["kind"] in ("step", "check"):
            line["said"] = {"title": t("{count} checks", count=t("nothing was touched")).facts}
        for place in places(line):
            if (line["kind"], place) in seen:
                continue
            seen.add((line["kind"], place))
            for odd in ODD:
                changed = inner = json.loads(json.dumps(line))
                for key in place[:-1]:
                    inner = inner[key]
                inner[place[-1]] = odd
                yield number % 13, changed


def test_no_value_in_a_journal_stops_those_who_read_it(tmp_path: Path) -> None:
    """One such run would keep a whole list of runs from being shown."""
    whole, failed = journal(tmp_path / "whole", completed()), []
    lines, tried = completed(), 0
    for number, odd in odd_lines():
        run = journal(tmp_path / "odd", [*lines[:number], odd, *lines[number + 1 :]])
        tried += 1
        try:
            (
                run.counts(),
                verdict.of(run),
                junit.text(run),
                compare.text(whole, run, compare.compare(whole, run)),
            )
            if not run.unusable or tried % 10 == 0:  # else they are all alike: a line is left out
                report.page(run)
        except Exception as error:
            failed.append((odd, repr(error)))
    assert failed == [] and tried > 1000


def test_a_line_is_only_as_deep_as_its_readers_can_follow() -> None:
    for levels, usable in ((18, True), (500, False)):
        for begin, end in (("[", "]"), ('{"a":', "}")):
            line = (
                '{"kind":"state","x":' + begin * levels + "1" * (begin != "[") + end * levels + "}"
            )
            assert (records.usable(line.encode()) is not None) is usable, line


def test_lines_that_are_no_records_are_left_out_and_told(project: Path) -> None:
    folder = project / "runs" / "20261124T000000Z"
    lines = completed()
    lines[3]["facts"], lines[9]["passed"] = None, "yes"
    run = journal(folder, lines)
    assert (run.unusable, len(run.entries), run.status) == (2, 12, "completed")
    assert (
        verdict.of(run).tone == "bad"
        and "2 lines without the form of a record" in verdict.of(run).text
    )
    assert "14 linhas" in report.page(
        run
    ) and "✘ 2 não têm a forma de um registro e ficaram de fora" in report.page(run)
    assert 'type="unusable"' in junit.text(run) and 'errors="1"' in junit.text(run)
    assert "2 lines of its journal are no records" in pgrepl(project, "runs").stderr
    assert [
        d for d in compare.compare(journal(project / "x", completed()), run) if d.group == "checks"
    ]


def test_a_wanted_number_of_replicas_is_never_believed_without_limit(tmp_path: Path) -> None:
    lines = [begun(), *completed()[1:3]]
    for wanted, shown in ((10**9, 17), (2, 3), ("2", 1), (-5, 0)):
        lines[0]["params"]["replicas"] = wanted
        assert len(pictures.instances(journal(tmp_path / "r", lines))) == shown, wanted


def test_nothing_of_a_journal_or_of_a_name_steers_the_terminal(project: Path) -> None:
    hostile = "20261124\x1b[2Kcompleted\nx"
    lines = [*completed()[:-1], {**completed()[-1], "status": hostile}]
    journal(project / "runs" / hostile, lines)
    for done in (
        pgrepl(project, "runs"),
        pgrepl(project, "report", f"{hostile}?"),
        pgrepl(project, "verify", hostile),
        pgrepl(project, "diff", hostile, LAST),
        pgrepl(project, "report", hostile),
    ):
        assert done.output and not set(done.output) & {"\x1b", "\x00"}, done.output
    assert len(pgrepl(project, "runs").stdout.splitlines()) == 6, "a row stays one line"


def test_the_last_runs_are_listed_and_with_all_the_others_too(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "SHOWN_RUNS", 2)
    done = pgrepl(project, "runs")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["20261123T213000Z", LAST]
    assert "2 older runs are not shown: --all" in done.stderr
    whole = pgrepl(project, "runs", "--all")
    assert len(whole.stdout.splitlines()) == 5 and not whole.stderr


def test_the_report_of_a_renamed_copy_is_the_same(project: Path, tmp_path: Path) -> None:
    run = Run(project / "runs" / LAST)
    copy = Run(Path(shutil.copytree(run.folder, tmp_path / "renamed")))
    assert copy.own_name == run.name == LAST and copy.name == "renamed"
    assert report.page(copy) == report.page(run) and LAST in report.page(copy)
    assert junit.text(copy) == junit.text(run)


def test_runs_and_what_is_found_in_them_are_told_in_portuguese(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGREPL_LANG", "pt")
    shutil.rmtree(project / "runs" / FAILED)
    listed = [" ".join(line.split()) for line in pgrepl(project, "runs").stdout.splitlines()]
    heads = "execução estado alterado passou falhou não tentado capítulos pasta"
    assert listed[0] == heads and listed[2].startswith(f"{FAILED} ausente 0 0 0 0 0 ")
    assert " morto sem registrar o fim " in listed[1] and " concluído 3 2 0 0 2 " in listed[3]
    assert f"execução {LAST} do projeto demo, 14 linhas" in pgrepl(project, "verify", LAST).stdout
    found = pgrepl(project, "verify").stdout.splitlines()
    assert found[0].startswith("não verificada: ") and "está faltando" in found[1]
    told = pgrepl(project, "diff", KILLED, LAST).stdout
    assert "(projeto demo, concluído)" in told and "estado: morto sem registrar o fim" in told
