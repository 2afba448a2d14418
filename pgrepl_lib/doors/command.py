"""The door for subprocesses: nothing else in the library starts one.

A :class:`Command` is data: it can be shown, recorded and run. What is shown is what is run.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..errors import CommandFailed, EnvironmentLacking, first_line
from ..words.quoted import PROGRAM, quoted
from ..words.redact import redact
from ..words.text import t
from . import docker_context, files
from .program import Heard, Waiting, nothing, silently

# Tells every command's process whose it is: those of a killed runner go on alone.
STARTED_BY = "STARTED_BY_PGREPL"


@dataclass(frozen=True)
class Command:
    """A program with its arguments, as a person would type it in the cluster's folder.

    user: the system user to run as when the caller is root; env: variables added for it; stdin: a
    file given as standard input; shown: what to type where that is not the arguments themselves;
    unless: a file that makes it superfluous, which a person would have to ask for; leaves: lets
    what it leaves be seen ahead by whoever only plans.
    """

    argv: tuple[str, ...]
    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: Path | None = None
    shown: str = ""
    unless: str = ""
    leaves: Callable[[], object] = field(default=nothing, repr=False, compare=False)

    def __str__(self) -> str:
        text = self.shown or shell_text(self.argv)
        if self.stdin:
            text += f" < {shlex.quote(str(self.stdin))}"
        if self.user:
            text = f"runuser -u {self.user} -- {text}"
        if self.unless:
            text = f"[ -e {shlex.quote(self.unless)} ] || {text}"
        return redact(text)


def here_document(path: str, text: str) -> str:
    """What a person would type to write a file; the text must end in a newline."""
    return f"cat > {shlex.quote(path)} <<'END'\n{text}END"


def shell_text(argv: Iterable[str]) -> str:
    """The words as a person would quote them: a word that holds single quotes in double ones."""
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
    """How a command ended: its exit code and its output, secrets masked.

    code: of one that a signal ended, the signal's number, negative.
    """

    code: int
    out: str
    err: str


Ran = list[tuple[Command, Completed]]
_transcript: ContextVar[Ran | None] = ContextVar("transcript", default=None)


@contextmanager
def transcript() -> Iterator[Ran]:
    """The commands that this thread runs inside the block, and how they ended, however it was."""
    ran: Ran = []
    before = _transcript.set(ran)
    try:
        yield ran
    finally:
        _transcript.reset(before)


def nobody() -> str:
    """Who hangs, of a program that needs nobody else."""
    return ""


def run(
    command: Command,
    *,
    cwd: Path,
    seconds: float = 120,
    check: bool = True,
    on_error_line: Callable[[str], None] = silently,
    hung: Callable[[], str] = nobody,
) -> Completed:
    """Run a command in `cwd`, as long as it says something at least every `seconds`.

    on_error_line: gets each line of standard error (progress). hung: says who hangs that it reads
    from; asked while it is silent. With check, a non-zero exit raises `CommandFailed`; a program
    that does not exist raises `EnvironmentLacking`.
    """
    heard = Heard(_start(command, cwd), on_error_line)
    try:
        code = heard.wait(seconds, hung)
    except BaseException as error:  # nothing of ours goes on alone, not after Ctrl-C either
        done = _recorded(command, heard.end(), heard)
        raise _told(error, command, done, seconds) from None
    done = _recorded(command, code, heard)
    if check and code:
        raise _failure(command, done)
    return done


def _recorded(command: Command, code: int, heard: Heard) -> Completed:
    """How a command ended, also put down in the transcript."""
    for reader in heard.readers:
        reader.join(1)  # a daemon that inherited the pipe (a server) must not hold us
    done = Completed(code, redact("".join(heard.out)), redact("".join(heard.err)))
    if (ran := _transcript.get()) is not None:
        ran.append((command, done))
    return done


def _told(error: BaseException, command: Command, done: Completed, seconds: float) -> BaseException:
    """Why a command was ended before its time."""
    if isinstance(error, Waiting):
        return CommandFailed(
            t("{who}: what read from it was ended: `{command}`", who=str(error), command=command),
            remedy=t("its log and its machine say why it hangs; once it answers, run again"),
        )
    if isinstance(error, subprocess.TimeoutExpired):
        words = {"seconds": seconds, "command": command}
        cause = t("No end after {seconds:g} s without a word: `{command}`", **words)
        return CommandFailed(cause, looked_at=_last(done), remedy=t("run again"))
    return error


def _failure(command: Command, done: Completed) -> CommandFailed:
    failure = CommandFailed(
        t("Exit code {code}: `{command}`", code=done.code, command=command),
        looked_at=_last(done),
        remedy=t("the message above is the program's own; correct its cause and run again"),
    )
    failure.code = done.code
    return failure


def _last(done: Completed) -> list[str]:
    """A program's last words."""
    lines = (done.err or done.out).strip().splitlines()[-12:]
    if not lines:
        return []
    return [quoted(PROGRAM, "\n".join(lines))]


def replace_process(command: Command, *, cwd: Path) -> None:
    """Become the command, with this terminal (for interactive programs)."""
    os.chdir(cwd)
    if command.user:
        entry = pwd.getpwnam(command.user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    os.execvpe(command.argv[0], command.argv, _environment_of(command))


def become(argv: Sequence[str], variables: Mapping[str, str]) -> None:
    """Become a program that is its user's own and no command of ours: only these variables."""
    os.execve(argv[0], [*argv], variables)


def start_alone(command: Command, *, cwd: Path, log: Path) -> int:
    """Start a program that goes on by itself, with what it says in a file; its process's number."""
    return subprocess.Popen(
        command.argv,
        cwd=cwd,
        env=environment(command.env),
        stdin=subprocess.DEVNULL,
        preexec_fn=partial(files.hears, log),
        start_new_session=True,
    ).pid


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment, without what would send our commands elsewhere.

    That is to another server, project or repository. Also without our own parameters: Compose would
    prefer `PGREPL_IMAGE` there to the cluster's `.env`.
    """
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PG", "COMPOSE_", "GIT_", "LANGUAGE"))
    }
    mark = {STARTED_BY: str(os.getpid()), "LC_ALL": "C.UTF-8" if sys.platform == "linux" else "C"}
    return {**kept, **mark, **(extra or {})}


def _environment_of(command: Command) -> dict[str, str]:
    """The same; Docker's programs work on the engine that the SDK works on."""
    found = environment(command.env)
    if not command.argv[0].startswith("docker"):
        return found
    kept = {k: v for k, v in found.items() if k not in docker_context.VARIABLES}
    return kept | docker_context.variables()


def _not_started(command: Command, cwd: Path, why: str) -> EnvironmentLacking:
    place = t("in {folder}", folder=cwd)
    if command.user:
        place = t("in {folder}, as user {user}", folder=cwd, user=command.user)
    return EnvironmentLacking(
        t("Cannot run {program}: {why}.", program=command.argv[0], why=why),
        looked_at=[place],
        remedy=t("install the program, or allow that user to enter the folder (parameter workdir)"),
    )


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
        raise _not_started(command, cwd, first_line(error)) from error
    finally:
        if command.stdin:
            stdin.close()  # type: ignore[union-attr]
