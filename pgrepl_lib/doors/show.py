"""How steps, checks and progress look: Markdown in a notebook, plain lines in a terminal."""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..words.language import in_notebook
from ..words.legible import legible
from ..words.text import Text, mark, t
from . import terminal
from .program import silently
from .wait import telling

WIDTH = 92
WORD = re.compile(r"[A-Za-z]{3}")
OUTCOMES = (mark("changed"), mark("unchanged"), mark("failed"), mark("interrupted"))
VERDICTS = {"passed": "✔", "failed": "✘", "not tried": "○"}
Step = tuple[str, str, Sequence[object], str]  # title, outcome, commands, diff
_kept: list[list[Step]] = []  # where steps go that are not shown; the last one counts


def markdown(text: str) -> None:
    """Show Markdown, readable as plain text too; outside a notebook nothing is shown."""
    text = legible(text)
    _display({"text/markdown": text, "text/plain": text})


def note(text: str) -> None:
    """A sentence to know before it goes on; outside a notebook on standard error."""
    if _kept:
        return
    if in_notebook():
        markdown(text)
    else:
        terminal.tell(text)


def step(title: str, outcome: str, commands: Sequence[object], diff: str = "") -> None:
    """A step: its title, what became of it (such as "changed"), its commands, the diff of an edit.

    commands: what a person would type. Outside a notebook it is told on standard error: progress,
    not a result.
    """
    if _kept:
        _kept[-1].append((title, outcome, commands, diff))
        return
    said = t(outcome)
    if not in_notebook():
        terminal.tell(f"{said:>9}  {title}")
        return
    parts = [f"`{said}` · **{title}**"]
    if not diff:  # an edit that changes nothing has nothing to show
        commands = [c for c in commands if not str(c).startswith("patch ")]
    if commands:
        shown = "\n".join(f"$ {wrapped(str(c))}" for c in commands)
        parts.append(f"```console\n{shown}\n```")
    if diff:
        parts.append(f"```diff\n{diff.rstrip()}\n```")
    markdown("\n\n".join(parts))


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table of short facts."""
    if _kept:
        return
    if not in_notebook():
        for row in rows:
            terminal.give("  ".join(str(c) for c in row))
        return
    markdown(_rows(heads, rows))


def notice(text: str) -> None:
    """Something that a person should know on the way; outside a notebook on standard error."""
    if _kept:
        return
    if in_notebook():
        markdown(f"**{text}**")
    else:
        terminal.tell(text)


def svg(source: str) -> None:
    """A picture."""
    _display({"image/svg+xml": source, "text/plain": "<SVG>"})


def png(content: bytes, alt: str) -> None:
    """A plot, with the text that stands for it where it is not seen."""
    data = {"image/png": b64encode(content).decode(), "text/plain": f"<{alt}>"}
    _display(data, metadata={"image/png": {"alt": alt}})


def _display(data: dict[str, str], **more: Any) -> Any:
    """One output of a cell in several forms, of which its reader takes the best."""
    if in_notebook() and not _kept:
        from IPython.display import display

        return display(data, raw=True, **more)
    return None


def check(title: str, verdict: str, expected: str, seen: str, hint: str) -> None:
    """A check: passed, failed or not tried; expected, seen; the hint only where it failed."""
    heads, remedy = (t("expected"), t("seen")), t("what to do")
    if not in_notebook():
        terminal.give(f"{VERDICTS[verdict]} {title}")
        told = [(f"{heads[0]}:", expected), (f"{heads[1]}:", seen)]
        if verdict == "failed":
            told.append((f"{remedy}:", hint))
        width = max(len(head) for head, _ in told)
        for head, fact in told:
            terminal.give(f"    {head:<{width}} {fact}")
        return
    head = f"{VERDICTS[verdict]} **{title}**"
    if verdict == "not tried":
        why = t("not tried")
        head = f"{head} ({why})"
    parts = [head, _rows(heads, [(expected, seen)])]
    if verdict == "failed":
        parts.append(f"**{remedy.capitalize()}:** {hint}")
    markdown("\n\n".join(parts))


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """A line that says how far long work is, and is gone afterwards."""
    if _kept:
        yield silently
        return
    if not in_notebook():
        tell = _terminal_progress(title)
        with telling(tell):
            yield tell
        if sys.stderr.isatty():
            terminal.tell_anew()
        return
    line = _Line(title)
    try:
        with telling(line.tell_more):
            yield line.tell
    finally:
        line.tell_more("")


@contextmanager
def kept() -> Iterator[list[Step]]:
    """Show nothing of what the block does; the list that it gives holds its steps."""
    steps: list[Step] = []
    _kept.append(steps)
    try:
        with telling(silently):
            yield steps
    finally:
        _kept.pop()


@contextmanager
def hidden(title: str) -> Iterator[None]:
    """The same, where nobody shall see how it is done; meanwhile a line says that it goes on."""
    with progress(title) as tell:
        tell("…")
        with kept():
            yield


class _Line:
    """A notebook's output that changes.

    Its first and last content are the same (empty), so that nbval, which sees only the first, and
    papermill, which stores the last, agree.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.handle: Any = None

    def tell(self, line: str) -> None:
        """Show how far it is."""
        if self.handle is None:
            self.handle = _display({"text/plain": ""}, display_id=True)
        if not isinstance(line, Text) and WORD.search(line):
            line = f"“{line}”"  # a program's own words
        self.tell_more(line)

    def tell_more(self, line: str) -> None:
        """From a long wait: how long it took must not decide whether there is an output."""
        if self.handle is not None:
            text = line and legible(f"⏳ {self.title}: {line}")
            self.handle.update({"text/plain": text}, raw=True)


def _terminal_progress(title: str) -> Callable[[str], None]:
    if not sys.stderr.isatty():
        return silently

    def tell(line: str) -> None:
        terminal.tell_anew(f"{title}: {line[:60]}")

    return tell


def wrapped(text: str) -> str:
    """A long command over several lines; what is quoted, or a here-document, stays whole."""
    if len(text) <= WIDTH or "\n" in text:
        return text
    lines = [""]
    for word in re.findall(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""", text):
        if lines[-1] and len(lines[-1]) + len(word) >= WIDTH:
            lines.append(f"    {word}")
        else:
            lines[-1] = f"{lines[-1]} {word}"
    return " \\\n".join(lines).lstrip()


def _rows(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table, as Markdown has it."""
    lines = [[_cell(str(each)) for each in line] for line in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
