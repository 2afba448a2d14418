"""The door for subprocesses: what is shown, what is passed on, what is masked, and how long it may take."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pgrepl_lib.doors import command, program
from pgrepl_lib.doors.command import Command, environment, run, transcript
from pgrepl_lib.engine.commands import Commands
from pgrepl_lib.errors import CommandFailed, EnvironmentLacking
from pgrepl_lib.params import Params
from pgrepl_lib.words.redact import MASK, register

ROOT = os.geteuid() == 0


def python(code: str, **more: object) -> Command:
    return Command((sys.executable, "-c", code), **more)  # type: ignore[arg-type]


def gone(pid: int, seconds: float = 5) -> bool:
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_a_command_shows_what_a_person_would_type() -> None:
    assert str(Command(("psql", "-c", "select 1;"))) == "psql -c 'select 1;'"
    assert str(Command(("/long/way/psql", "-l"), shown="psql -l")) == "psql -l"
    assert str(Command(("initdb",), user="postgres")) == "runuser -u postgres -- initdb"
    assert str(Command(("psql",), stdin=Path("a b.sql"))) == "psql < 'a b.sql'"


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "a'b",
        "'",
        "''",
        'a"b',
        "$x'",
        "`x`'",
        "\\'",
        "!'",
        "a\nb'",
        "*",
        "~",
        "é",
        "-c x=''",
    ],
)
def test_what_is_shown_is_what_a_shell_would_run(word: str) -> None:
    command = Command(("printf", "%s.", word, "end"))
    assert shlex.split(str(command)) == list(command.argv)
    assert run(Command(("sh", "-c", str(command))), cwd=Path("/")).out == f"{word}.end."


def test_environment_variables_are_never_shown() -> None:
    assert "hunter2hunter2" not in str(Command(("psql",), env={"PGPASSWORD": "hunter2hunter2"}))


def test_secrets_are_masked_in_what_is_shown_printed_and_told(tmp_path: Path) -> None:
    secret = register("0123456789abcdef-command")
    command, told = python(f"import sys; print('{secret}'); print('{secret}', file=sys.stderr)"), []
    assert secret not in str(command) and MASK in str(command)
    done = run(command, cwd=tmp_path, on_error_line=told.append)
    assert (done.out, done.err, told) == (f"{MASK}\n", f"{MASK}\n", [MASK])
    with pytest.raises(CommandFailed) as caught:
        run(python(f"import sys; sys.exit('{secret}')"), cwd=tmp_path)
    assert secret not in str(caught.value) and MASK in str(caught.value)


def test_a_failure_carries_the_exit_code_and_the_programs_own_words(tmp_path: Path) -> None:
    failing = python("import sys; print('no such role', file=sys.stderr); sys.exit(7)")
    with pytest.raises(CommandFailed) as caught:
        run(failing, cwd=tmp_path)
    assert caught.value.code == 7 and caught.value.exit_code == 1
    assert (
        "Exit code 7" in str(caught.value)
        and "seen: the program said: “no such role”" in str(caught.value)
        and caught.value.remedy
    )
    assert run(failing, cwd=tmp_path, check=False).code == 7
    assert CommandFailed.code == 1  # one failure's code is not the next one's


def test_output_is_collected_whole_and_text_survives_odd_bytes(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.buffer.write(b'x' * 300000 + b'\\xff\\n'); sys.stderr.buffer.write(b'y' * 300000)"
    done = run(python(code), cwd=tmp_path)
    assert done.out == "x" * 300000 + "\ufffd\n" and done.err == "y" * 300000


def test_letters_split_between_two_reads_stay_whole(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfor b in 'é…\\n'.encode():\n"
        "    sys.stderr.buffer.write(bytes([b])); sys.stderr.flush(); time.sleep(.03)"
    )
    told: list[str] = []
    done = run(python(code), cwd=tmp_path, on_error_line=told.append)
    assert done.err == "é…\n" and told == ["é…"]


def test_progress_lines_end_in_a_carriage_return(tmp_path: Path) -> None:
    told: list[str] = []
    run(
        python(r"import sys; sys.stderr.write('10%\r20%\r\r\n30%\n40%\r\n')"),
        cwd=tmp_path,
        on_error_line=told.append,
    )
    assert told == ["10%", "20%", "30%", "40%"]


def test_progress_comes_while_the_program_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = (
        "import sys, time, pathlib\nsys.stderr.write('1%\\r'); sys.stderr.flush()\nend = time.monotonic() + 10\n"
        "while not pathlib.Path('go').exists() and time.monotonic() < end: time.sleep(.01)\n"
        "sys.exit(not pathlib.Path('go').exists())"
    )
    run(python(code), cwd=tmp_path, on_error_line=lambda line: go.touch(), seconds=20)


def test_the_time_limit_ends_the_program(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(CommandFailed, match=r"No end after 1 s without a word") as caught:
        run(
            python("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"),
            cwd=tmp_path,
            seconds=1,
        )
    assert time.monotonic() - started < 5 and caught.value.remedy
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_goes_on_saying_something_has_no_limit(tmp_path: Path) -> None:
    """A base backup of hours tells its progress; what counts is the silence."""
    code = "import time\nfor n in range(16): print(n, flush=True); time.sleep(0.3)"
    assert run(python(code), cwd=tmp_path, seconds=4).out.split()[-1] == "15"


def test_an_interrupt_ends_the_program(tmp_path: Path) -> None:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # in the background of a shell it is ignored
    pidfile = tmp_path / "pid"
    code = "import os, time; open('new', 'w').write(str(os.getpid())); os.rename('new', 'pid'); time.sleep(60)"

    def interrupt() -> None:
        end = time.monotonic() + 10
        while not pidfile.exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with transcript() as ran, pytest.raises(KeyboardInterrupt):
        run(python(code), cwd=tmp_path, seconds=30)
    assert [done.code for _, done in ran] == [-signal.SIGTERM]
    thread.join(10)
    signal.signal(signal.SIGINT, before)
    assert gone(int(pidfile.read_text()))


SIDE_BY_SIDE = """
import json, signal, sys
from pathlib import Path
from pgrepl_lib.doors.command import Command, run
from pgrepl_lib.engine.action import Action
from pgrepl_lib.engine.together import together
signal.signal(signal.SIGINT, signal.default_int_handler)
def action(number):
    command = Command(("sh", "-c", f"echo begun {number}; touch {number}; exec sleep {60 if number else 0}"))
    return Action((command,), lambda tell: run(command, cwd=Path()), lambda: False)
results = together([action(n) for n in range(4)], 2, lambda line: None)
print(json.dumps([(r.outcome, type(r.error).__name__, [(d.code, d.out) for _, d in r.ran]) for r in results]))
"""


def test_programs_side_by_side_that_are_interrupted_are_in_their_results(tmp_path: Path) -> None:
    """As Ctrl-C and a kernel's interrupt reach them, all in one group; the last has not begun and does not."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", SIDE_BY_SIDE],
        cwd=tmp_path,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 30
        while not (tmp_path / "2").exists() and time.monotonic() < until:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    interrupted = [
        ["interrupted", "KeyboardInterrupt", [[-signal.SIGINT, f"begun {n}\n"]]] for n in (1, 2)
    ]
    assert json.loads(said) == [
        ["changed", "NoneType", [[0, "begun 0\n"]]],
        *interrupted,
        ["interrupted", "KeyboardInterrupt", []],
    ]


@pytest.mark.parametrize(("ends", "code"), [("sys.exit(9)", 9), ("signal.raise_signal(15)", -15)])
def test_what_was_ended_before_its_time_is_in_the_transcript(
    tmp_path: Path, ends: str, code: int
) -> None:
    """Its output up to then, with secrets masked, and how it ended: by its own code, or a signal's number."""
    secret = register("0123456789abcdef-ended")
    source = (
        f"import signal, sys, time\n"
        f"def stop(number, frame):\n    signal.signal(15, signal.SIG_DFL)\n    print('last', flush=True)\n    {ends}\n"
        f"signal.signal(15, stop)\nprint('first {secret}', flush=True)\n"
        f"print('half a line', end='', file=sys.stderr, flush=True)\ntime.sleep(60)"
    )
    with transcript() as ran, pytest.raises(CommandFailed) as caught:
        run(python(source), cwd=tmp_path, seconds=1)
    assert [(done.code, done.out, done.err) for _, done in ran] == [
        (code, f"first {MASK}\nlast\n", "half a line")
    ]
    assert caught.value.looked_at == ("the program said: “half a line”",)


def test_a_server_left_behind_with_our_pipes_does_not_hold_us(tmp_path: Path) -> None:
    started = time.monotonic()
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)']); "
        "print(p.pid, flush=True)"
    )
    done = run(python(code), cwd=tmp_path, seconds=20)
    psutil.Process(int(done.out)).kill()
    assert time.monotonic() - started < 10


def test_a_missing_program_lacks_in_the_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacking, match="no-such-program") as caught:
        run(Command(("no-such-program",)), cwd=tmp_path)
    assert (
        caught.value.exit_code == 3 and caught.value.remedy and str(tmp_path) in str(caught.value)
    )


def test_standard_input_is_the_given_file_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("hello")
    reads = "import sys; print(sys.stdin.read())"
    assert run(python(reads, stdin=Path("given")), cwd=tmp_path).out == "hello\n"
    assert run(python(reads), cwd=tmp_path, seconds=10).out == "\n"


@pytest.mark.parametrize(
    "name",
    [
        "PGHOST",
        "PGPORT",
        "PGUSER",
        "PGPASSWORD",
        "PGSERVICE",
        "PGOPTIONS",
        "PGDATABASE",
        "PGDATA",
        "PGPASSFILE",
        "PGSSLMODE",
        "PGTARGETSESSIONATTRS",
    ],
)
def test_libpqs_variables_are_not_passed_on(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, "elsewhere")
    assert name not in environment()
    assert run(python(f"import os; print({name!r} in os.environ)"), cwd=tmp_path).out == "False\n"
    given = python(f"import os; print(os.environ[{name!r}])", env={name: "ours"})
    assert run(given, cwd=tmp_path).out == "ours\n"


@pytest.mark.parametrize(
    "name",
    [
        "COMPOSE_PROJECT_NAME",
        "COMPOSE_FILE",
        "COMPOSE_PROFILES",
        "COMPOSE_ENV_FILES",
        "PGREPL_PRIMARY_PORT",
        "PGREPL_IMAGE",
        "PGREPL_NETWORK",
    ],
)
def test_composes_variables_are_not_passed_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell's variables win over the cluster's `.env`: `down --volumes` would hit another Compose project."""
    monkeypatch.setenv(name, "elsewhere")
    assert name not in environment()


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_COUNT"])
def test_gits_variables_are_not_passed_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a hook they name the repository whose hook it is."""
    monkeypatch.setenv(name, "elsewhere")
    assert name not in environment()


def test_the_rest_of_the_environment_is_passed_on_with_a_fixed_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///x")
    monkeypatch.setenv("LC_ALL", "pt_BR.UTF-8")
    assert environment()["DOCKER_HOST"] == "unix:///x"
    assert environment()["LC_ALL"].startswith("C")


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_root_becomes_the_commands_user_without_its_groups(tmp_path: Path) -> None:
    shown = run(
        Command(("sh", "-c", "id -u; id -ru; id -G; id -g"), "nobody"), cwd=Path("/")
    ).out.split()
    entry = pwd.getpwnam("nobody")
    assert shown == [str(entry.pw_uid)] * 2 + [str(entry.pw_gid)] * 2


def test_replacing_this_process_keeps_arguments_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    shown = "import os, sys; print(os.getcwd(), sys.argv[1:], os.environ.get('PGHOST'), os.environ['PGPASSFILE'])"
    code = (
        "import sys; from pathlib import Path; from pgrepl_lib.doors.command import Command, replace_process\n"
        f"c = Command((sys.executable, '-c', {shown!r}, 'a b', '*'), env={{'PGPASSFILE': 'p'}})\n"
        f"replace_process(c, cwd=Path({str(tmp_path)!r}))"
    )
    assert run(python(code), cwd=Path("/")).out == f"{tmp_path} ['a b', '*'] None p\n"


def test_what_reads_from_somebody_who_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "LOOK_SECONDS", 0.05)
    asked: list[int] = []

    def hung() -> str:
        asked.append(1)
        return "replica hung" * (len(asked) != 3)  # once it answers, and is waited for again

    with pytest.raises(
        CommandFailed, match="replica hung: what read from it was ended: `sleep 60`"
    ):
        command.run(Command(("sleep", "60")), cwd=tmp_path, hung=hung)
    assert len(asked) == 3 + program.HUNG_LOOKS


def test_what_reads_from_somebody_who_was_cut_off_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a base backup, which hears nothing any more, and would wait for hours."""
    monkeypatch.setattr(program, "LOOK_SECONDS", 0.05)
    params = Params.parse({"project": "cut", "workdir": str(tmp_path)})
    (params.folder / "secrets").mkdir(parents=True)
    (params.folder / "secrets/superuser").write_text("a password of no server's\n")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        engine = Commands(params, {"replica": nobody.getsockname()[1]})
    with pytest.raises(CommandFailed, match="replica nothing listens: what read from it was ended"):
        engine.run(Command(("sleep", "60")), source="replica")
