"""The door for subprocesses: nothing else in the library starts one.

A :class:`Command` is data: it can be shown, recorded and run. What is shown is what is run.
"""

from __future__ import annotations

import codecs
import os
import pwd
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from ..errors import CommandFailed, EnvironmentLacking
from . import docker_context
from .redact import redact

STARTED_BY = (
    "STARTED_BY_PGREPL"  # tells every command's process whose it is: a killed runner's go on alone
)


@dataclass(frozen=True)
class Command:
    """A program with its arguments, as a person would type it in the cluster's folder.

    user: the system user to run as when the caller is root; env: variables added for it;
    stdin: a file given as standard input; shown: what to type where that is not the arguments themselves;
    unless: a file that makes it superfluous, which a person would have to ask for.
    """

    argv: tuple[str, ...]
    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: Path | None = None
    shown: str = ""
    unless: str = ""

    def __str__(self) -> str:
        text = self.shown or shell_text(self.argv)
        if self.stdin:
            text += f" < {shlex.quote(str(self.stdin))}"
        if self.user:
            text = f"runuser -u {self.user} -- {text}"
        return redact(f"[ -e {shlex.quote(self.unless)} ] || {text}" if self.unless else text)


def here_document(path: str, text: str) -> str:
    """What a person would type to write a file; the text must end in a newline."""
    return f"cat > {shlex.quote(path)} <<'END'\n{text}END"


def shell_text(argv: Iterable[str]) -> str:
    """The words as a person would quote them: double quotes around a word that holds single ones."""
    plain = re.compile(r"[^\"$`\\!]*'[^\"$`\\!]*")
    return " ".join(f'"{word}"' if plain.fullmatch(word) else shlex.quote(word) for word in argv)


def into_file(argv: tuple[str, ...], target: Path) -> Command:
    """A program's output into a file for its owner alone, which is there once all of it is."""
    part = target.with_name(f".{target.name}.part")
    script = 'umask 077; part=$1 target=$2; shift 2; "$@" > "$part" && mv "$part" "$target"'
    shown = f"(umask 077; {shell_text(argv)} > {shlex.quote(str(target))})"
    return Command(("sh", "-c", script, "-", str(part), str(target), *argv), shown=shown)


@dataclass(frozen=True)
class Completed:
    """How a command ended: its exit code (of one that a signal ended, its number, negative) and its output, secrets masked."""

    code: int
    out: str
    err: str


_transcript: ContextVar[list[tuple[Command, Completed]] | None] = ContextVar(
    "transcript", default=None
)


@contextmanager
def transcript() -> Iterator[list[tuple[Command, Completed]]]:
    """The commands that this thread runs inside the block, with how they ended; also one that was ended before its time."""
    ran: list[tuple[Command, Completed]] = []
    before = _transcript.set(ran)
    try:
        yield ran
    finally:
        _transcript.reset(before)


def silently(line: str) -> None:
    """Progress that nobody looks at."""


def run(
    command: Command,
    *,
    cwd: Path,
    seconds: float = 120,
    check: bool = True,
    on_error_line: Callable[[str], None] = silently,
) -> Completed:
    """Run a command in `cwd`, as long as it says something at least every `seconds`.

    on_error_line: called with each line of standard error as it comes (progress). With check, a non-zero exit
    raises `CommandFailed`; a program that does not exist raises `EnvironmentLacking`. Whatever is raised, what the program
    had written until then is in the transcript.
    """
    process = _start(command, cwd)
    out: list[str] = []
    err: list[str] = []
    heard = Heard()
    streams = ((process.stdout, out, silently), (process.stderr, err, on_error_line))
    readers = [Thread(target=_read, args=(heard, *each), daemon=True) for each in streams]
    for reader in readers:
        reader.start()
    try:
        code = heard.wait(process, seconds)
    except BaseException as error:  # time limit, Ctrl-C: nothing of ours goes on alone
        done = _recorded(command, _ended(process), readers, out, err)
        if isinstance(error, subprocess.TimeoutExpired):
            cause = f"No end after {seconds:g} s without a word: {command}"
            raise CommandFailed(cause, looked_at=_last(done), remedy="run again") from None
        raise
    done = _recorded(command, code, readers, out, err)
    if check and code:
        failure = CommandFailed(
            f"Exit code {code}: {command}",
            looked_at=_last(done),
            remedy="the message above is the program's own; correct its cause and run again",
        )
        failure.code = code
        raise failure
    return done


class Heard:
    """When a program last said something: what copies a large database says so for hours."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def now(self) -> None:
        """It has just said something."""
        self.last = time.monotonic()

    def wait(self, process: subprocess.Popen[bytes], seconds: float) -> int:
        """Its exit code; raises `TimeoutExpired` once it was silent for so many seconds."""
        while True:
            try:
                return process.wait(self.last + seconds - time.monotonic())
            except subprocess.TimeoutExpired:
                if time.monotonic() - self.last >= seconds:
                    raise


def _ended(process: subprocess.Popen[bytes]) -> int:
    """End a program that still runs; how it ended."""
    process.terminate()
    try:
        return process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _recorded(
    command: Command, code: int, readers: Iterable[Thread], out: list[str], err: list[str]
) -> Completed:
    """How a command ended, also put down in the transcript."""
    for reader in readers:
        reader.join(1)  # a daemon that inherited the pipe (a server) must not hold us
    done = Completed(code, redact("".join(out)), redact("".join(err)))
    if (ran := _transcript.get()) is not None:
        ran.append((command, done))
    return done


def _last(done: Completed) -> list[str]:
    """A program's last words."""
    return (done.err or done.out).strip().splitlines()[-12:]


def replace_process(command: Command, *, cwd: Path) -> None:
    """Become the command, with this terminal (for interactive programs)."""
    os.chdir(cwd)
    if command.user:
        entry = pwd.getpwnam(command.user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    os.execvpe(command.argv[0], command.argv, _environment_of(command))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without variables that would send our commands to another server, project or repository.

    Also without our own parameters: Compose would prefer `PGREPL_IMAGE` there to the cluster's `.env`.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "COMPOSE_", "GIT_"))}
    mark = {STARTED_BY: str(os.getpid()), "LC_ALL": "C.UTF-8" if sys.platform == "linux" else "C"}
    return {**kept, **mark, **(extra or {})}


def _environment_of(command: Command) -> dict[str, str]:
    """The same; Docker's programs work on the engine that the SDK works on."""
    found = environment(command.env)
    if not command.argv[0].startswith("docker"):
        return found
    kept = {k: v for k, v in found.items() if k not in docker_context.VARIABLES}
    return kept | docker_context.variables()


def _start(command: Command, cwd: Path) -> subprocess.Popen[bytes]:
    identity: dict[str, object] = {}
    if command.user:
        entry = pwd.getpwnam(command.user)
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    stdin = (cwd / command.stdin).open("rb") if command.stdin else subprocess.DEVNULL
    try:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            command.argv,
            cwd=cwd,
            env=_environment_of(command),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **identity,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise EnvironmentLacking(
            f"Cannot run {command.argv[0]}: {error.strerror}.",
            looked_at=[f"in {cwd}" + (f", as user {command.user}" if command.user else "")],
            remedy="install the program, or allow that user to enter the folder (parameter workdir)",
        ) from error
    finally:
        if command.stdin:
            stdin.close()  # type: ignore[union-attr]


def _read(heard: Heard, stream: object, into: list[str], tell: Callable[[str], None]) -> None:
    """Collect text; progress lines end in a carriage return, so both kinds of line end count."""
    pending, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
    while raw := os.read(stream.fileno(), 65536):  # type: ignore[attr-defined]
        heard.now()
        chunk = decoder.decode(raw)
        into.append(chunk)
        *lines, pending = (pending + chunk).replace("\r", "\n").split("\n")
        for line in filter(None, lines):
            tell(redact(line))
