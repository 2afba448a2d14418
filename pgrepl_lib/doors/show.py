"""How steps, checks and progress look: Markdown in a notebook, plain lines in a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..words.language import in_notebook
from ..words.legible import legible
from ..words.text import t
from . import terminal
from .command import silently
from .wait import telling

WIDTH = 92
VERDICTS = {"passed": "✔", "failed": "✘", "not tried": "○"}


def markdown(text: str) -> None:
    """Show Markdown; its source is readable as plain text too. Outside a notebook nothing is shown."""
    if in_notebook():
        from IPython.display import display

        text = legible(text)
        display({"text/markdown": text, "text/plain": text}, raw=True)


def note(text: str) -> None:
    """A sentence to know before it goes on; outside a notebook on standard error."""
    if in_notebook():
        markdown(text)
    else:
        terminal.tell(text)


def step(title: str, outcome: str, commands: Sequence[object], diff: str = "") -> None:
    """A step: its title, `changed` or `unchanged`, the command that a person would type, and the diff of an edit.

    Outside a notebook it is told on standard error: progress, not a result.
    """
    if not in_notebook():
        terminal.tell(f"{outcome:>9}  {title}")
        return
    shown = "\n".join(f"$ {wrapped(str(c))}" for c in commands)
    parts = [f"`{outcome}` · **{title}**", f"```console\n{shown}\n```" if shown else ""]
    parts.append(f"```diff\n{diff.rstrip()}\n```" if diff else "")
    markdown("\n\n".join(filter(None, parts)))


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table of short facts."""
    if not in_notebook():
        for row in rows:
            terminal.give("  ".join(str(c) for c in row))
        return
    markdown(_rows(heads, rows))


def notice(text: str) -> None:
    """Something that a person should know on the way; outside a notebook on standard error."""
    if in_notebook():
        markdown(f"**{text}**")
    else:
        terminal.tell(text)


def svg(source: str) -> None:
    """A picture."""
    if in_notebook():
        from IPython.display import display

        display({"image/svg+xml": source, "text/plain": "<SVG>"}, raw=True)


def png(content: bytes, alt: str) -> None:
    """A plot, with the text that stands for it where it is not seen."""
    if in_notebook():
        import base64

        from IPython.display import display

        data = {"image/png": base64.b64encode(content).decode(), "text/plain": f"<{alt}>"}
        display(data, metadata={"image/png": {"alt": alt}}, raw=True)


def check(title: str, verdict: str, expected: str, seen: str, hint: str) -> None:
    """A check: verdict (passed, failed or not tried), expected, seen; the hint only where it failed."""
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
    """A line that says how far long work is, and is gone afterwards.

    In a notebook the output's first and last content are the same (empty), so that nbval, which sees only the
    first, and papermill, which stores the last, agree.
    """
    if not in_notebook():
        tell_terminal = _terminal_progress(title)
        with telling(tell_terminal):
            yield tell_terminal
        if sys.stderr.isatty():
            terminal.tell_anew()
        return
    handle: Any = None

    def text(line: str) -> dict[str, Any]:
        return {"text/plain": legible(f"⏳ {title}: {line}" if line else "")}

    def tell(line: str) -> None:
        nonlocal handle
        if handle is None:
            from IPython.display import display

            handle = display(text(""), raw=True, display_id=True)
        handle.update(text(line), raw=True)

    def tell_more(line: str) -> None:
        """From a long wait: how long it took must not decide whether there is an output."""
        if handle is not None:
            tell(line)

    try:
        with telling(tell_more):
            yield tell
    finally:
        if handle is not None:
            handle.update(text(""), raw=True)


def _terminal_progress(title: str) -> Callable[[str], None]:
    if not sys.stderr.isatty():
        return silently

    def tell(line: str) -> None:
        terminal.tell_anew(f"{title}: {line[:60]}")

    return tell


def wrapped(text: str) -> str:
    """A long command over several lines, as a shell takes them; what stands in quotes or in a here-document stays whole."""
    if len(text) <= WIDTH or "\n" in text:
        return text
    lines = [""]
    for word in re.findall(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""", text):
        if lines[-1] and len(lines[-1]) + len(word) >= WIDTH:
            lines.append(f"    {word}")
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip() if len(lines) == 1 else f"{lines[-1]} {word}"
    return " \\\n".join(lines)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table, as Markdown has it."""
    lines = [[_cell(str(each)) for each in line] for line in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
