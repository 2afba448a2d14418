"""A real run is signed, is verified offline, with and without pgrepl, and shows what was changed afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from securesystemslib.dsse import Envelope

from pgrepl_lib.cli.main import main
from pgrepl_lib.evidence.signing import keys

from ..conftest import NewProject
from .test_runner import Values, pgrepl, run_folder

ROOT = Path(__file__).parents[2]
MANUALS = ("docs/verification.md", "docs/verificacao.md")


@pytest.fixture(scope="module")
def values(new_project: NewProject) -> Iterator[Values]:
    """A project with one run of the chapters 00 and 01."""
    with new_project(project="verified") as made:
        done = pgrepl("run", made, "--to", "01")
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture
def copy(values: Values, tmp_path: Path) -> Path:
    """A copy of the run's folder, to be changed."""
    return Path(shutil.copytree(run_folder(values), tmp_path / "copy"))


def verify(*arguments: str | Path, **environment: str) -> Result:
    """`pgrepl verify` in this process."""
    return CliRunner().invoke(main, ["verify", *map(str, arguments)], env=environment)


def test_a_run_is_signed_with_ones_own_key_and_verified(
    values: Values, copy: Path, configuration_folder: Path
) -> None:
    own = configuration_folder / "pgrepl/signing-key.pem"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    done = pgrepl("verify", values)
    assert done.returncode == 0 and re.match(
        rf"verified: run {run_folder(values).name} of project verified, \d+ lines, \d+ files, signed by ed25519 key",
        done.stdout,
    ), done.stdout
    assert (
        verify(copy).stdout
        == pgrepl("verify", values, run_folder(values).name).stdout
        == done.stdout
    )
    stranger = verify(copy, XDG_CONFIG_HOME=str(copy.parent / "stranger"))
    assert stranger.exit_code == 1 and "not known here" in stranger.stdout and not stranger.stderr
    assert (
        verify(
            copy, "--key", own.with_suffix(".pub"), XDG_CONFIG_HOME=str(copy.parent / "stranger")
        ).exit_code
        == 0
    )


def changes(copy: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What somebody may do to a run, and what is named then."""
    journal, notebook, settings = (
        copy / "journal.jsonl",
        copy / "01-instancia-primaria.ipynb",
        copy / "configuration/primary",
    )
    lines = journal.read_bytes().splitlines(keepends=True)
    yield (
        "journal.jsonl, line 4: ",
        lambda: journal.write_bytes(
            b"".join([*lines[:3], lines[3].replace(b"2", b"3", 1), *lines[4:]])
        ),
    )
    yield "journal.jsonl, line 5: ", lambda: journal.write_bytes(b"".join([*lines[:4], *lines[5:]]))
    yield f"journal.jsonl, line {len(lines)}: ", lambda: journal.write_bytes(b"".join(lines[:-1]))
    yield (
        "01-instancia-primaria.ipynb: ",
        lambda: notebook.write_bytes(notebook.read_bytes() + b"\n"),
    )
    yield "summary.json: is missing", (copy / "summary.json").unlink
    yield (
        "configuration/primary/postgresql.conf: ",
        lambda: os.truncate(settings / "postgresql.conf", 100),
    )
    yield "configuration/primary/new.conf: ", (settings / "new.conf").touch
    yield (
        "statement.dsse.json: ",
        lambda: shutil.copy(copy / "checks.dsse.json", copy / "statement.dsse.json"),
    )
    yield "statement.dsse.json: is missing", (copy / "statement.dsse.json").unlink
    yield "journal.jsonl: is missing", journal.unlink


@pytest.mark.parametrize("number", range(10))
def test_a_changed_run_is_not_verified(copy: Path, number: int) -> None:
    named, change = list(changes(copy))[number]
    change()
    done = verify(copy)
    assert (done.exit_code, done.stderr) == (1, "")
    assert re.match(rf"not verified: run .+\n  {re.escape(named)}", done.stdout), done.stdout


def documented(manual: str) -> str:
    (block,) = [
        b
        for b in re.findall(r"```sh\n(.*?)```", (ROOT / manual).read_text("utf-8"), re.DOTALL)
        if "DSSEv1" in b
    ]
    return str(block)


def forgeries() -> Iterator[tuple[str, Callable[[Path], Any]]]:
    """What somebody may do to the folder of a run, and what the plain commands then name."""
    yield "00-preparacao.ipynb", lambda run: appended(run / "00-preparacao.ipynb")
    yield "summary.json", lambda run: (run / "summary.json").unlink()
    yield "./added", lambda run: (run / "added").touch()
    yield "./json.py", lambda run: (run / "json.py").write_text("open('PWNED', 'w')")
    yield "./link", lambda run: (run / "link").symlink_to("/etc")
    yield (
        "report.html",
        lambda run: (
            (run / "report.html").rename(run.parent / "moved"),
            (run / "report.html").symlink_to(run.parent / "moved"),
        ),
    )
    yield "not the statement about a run", checks_as_statement
    yield "./empty", lambda run: (run / "empty").mkdir()
    yield "the statement is a link", statement_elsewhere
    yield "", lambda run: resigned(run / "statement.dsse.json")


def appended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def statement_elsewhere(run: Path) -> None:
    shutil.move(run / "statement.dsse.json", run.parent / "elsewhere")
    (run / "statement.dsse.json").symlink_to(run.parent / "elsewhere")


def checks_as_statement(run: Path) -> None:
    """The other envelope, whose signature holds, in the place of the run's; what it does not name is forged."""
    shutil.copy(run / "checks.dsse.json", run / "statement.dsse.json")
    for name in ("report.html", "replay.sh", "summary.json", "added"):
        (run / name).write_text("forged")


def resigned(envelope: Path) -> None:
    """Another signature."""
    content = envelope.read_text()
    signature = re.findall(r'"sig": "(....)', content)[0]
    envelope.write_text(
        content.replace(f'"sig": "{signature}', f'"sig": "{signature[::-1].swapcase()}')
    )


def test_the_documented_commands_verify_without_pgrepl(
    values: Values, copy: Path, tmp_path: Path, configuration_folder: Path
) -> None:
    assert documented(MANUALS[0]) == documented(MANUALS[1])

    def plainly(folder: Path) -> tuple[int, str]:
        """Pasted into a shell, which goes on after an error."""
        key = configuration_folder / "pgrepl/signing-key.pub"
        done = subprocess.run(
            ["sh", "-c", documented(MANUALS[0])],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "KEY": str(key), "TMPDIR": str(tmp_path)},
        )
        assert ("every file is as it was signed" in done.stdout) is (done.returncode == 0)
        return done.returncode, done.stdout + done.stderr

    code, said = plainly(copy)
    assert code == 0 and f"run {run_folder(values).name} completed" in said, said
    for number, (told, forge) in enumerate(forgeries()):
        forged = Path(shutil.copytree(copy, tmp_path / f"forged-{number}"))
        forge(forged)
        code, said = plainly(forged)
        assert code != 0 and told in said, (number, said)
    assert not list(tmp_path.rglob("PWNED"))
    code, said = plainly(naming_nothing(copy))
    assert (
        code != 0
        and "does not name checks.dsse.json, journal.jsonl, signer.pub, summary.json" in said
    ), said


def naming_nothing(run: Path) -> Path:
    """A folder with nothing but a statement that holds and names no file, signed by the same key."""
    path = run / "statement.dsse.json"
    envelope = Envelope.from_dict(json.loads(path.read_text()))
    bare = Envelope(
        json.dumps({**json.loads(envelope.payload), "subject": []}).encode(),
        envelope.payload_type,
        {},
    )
    bare.sign(keys.signer())
    shutil.rmtree(run)
    run.mkdir()
    path.write_text(json.dumps(bare.to_dict(), indent=2) + "\n")
    return run


def test_a_named_key_signs_and_a_wrong_one_is_refused_before_anything_is_touched(
    values: Values, tmp_path: Path
) -> None:
    other = {**values, "project": "unsigned"}
    key = tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", key],
        check=True,
        capture_output=True,
    )
    key.chmod(0o644)
    done = pgrepl("run", other, "--key", str(key))
    assert done.returncode == 2 and "mode 0644" in done.stderr and "chmod 600" in done.stderr, (
        done.stderr
    )
    assert not (Path(values["workdir"]) / "unsigned").exists()
    key.chmod(0o600)
    before = run_folder(values)
    assert pgrepl("run", values, "--to", "00", "--key", str(key)).returncode == 0
    assert run_folder(values) != before and pgrepl("verify", values).returncode == 1
    assert pgrepl("verify", values, "--key", str(run_folder(values) / "signer.pub")).returncode == 0
    assert verify(run_folder(values), PGREPL_SIGNING_KEY=str(key)).exit_code == 0


def test_bad_usage_is_told_as_such(values: Values, copy: Path) -> None:
    for wrong in (
        ["no-such-run", "-p", "workdir", values["workdir"]],
        [copy, "--key", copy / "summary.json"],
        [copy, "--wrong"],
    ):
        done = verify(*wrong)
        assert (
            done.exit_code == 2
            and not done.stdout
            and done.stderr
            and isinstance(done.exception, SystemExit)
        )
