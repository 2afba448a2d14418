"""A change of one text file, as data: what it does is known, and shown, before it is done.

It stands among an action's commands, so that whoever makes one of several carries it along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..doors import files
from ..postgres import conf


@dataclass(frozen=True)
class Edit:
    """What managed blocks of an instance's file, or the whole of it, shall hold; typed as `patch`.

    folder: the cluster's. name: the file's path in it, which begins with the instance's name.
    blocks: the lines of each; None takes it out. whole: the text instead. begins_as: the file
    that this one is a copy of at first. What its server has to do is `restarts.edited`.
    """

    folder: Path
    name: str
    blocks: Mapping[str, Sequence[str] | None]
    whole: str | None = None
    mode: int | None = None
    begins_as: Path | None = None

    def __str__(self) -> str:
        return f"patch {self.name}"

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.folder / self.name

    def before(self) -> str:
        """The text as it is now; where the whole of it is at stake, with its line ends."""
        if self.whole is not None:
            there = files.there(self.path)
            return files.content(self.path).decode("utf-8", "replace") if there else ""
        if self.begins_as and not files.there(self.path):
            return files.text(self.begins_as)
        return files.text(self.path)

    def after(self, text: str) -> str:
        """The text as it will be. In `pg_hba.conf` a block is first, since the first match wins."""
        if self.whole is not None:
            return self.whole
        for block, lines in self.blocks.items():
            if lines is None:
                text = conf.without_block(text, block)
                continue
            text = conf.with_block(text, block, lines, first=self._first)
        return text

    @property
    def _first(self) -> bool:
        return self.path.name == "pg_hba.conf"

    def done(self) -> bool:
        """Whether the file is so already."""
        there = not self._gives() or files.there(self.path)
        return there and self.after(text := self.before()) == text

    def idle(self) -> bool:
        """Whether it takes out what is not there, and so is no edit at all."""
        return not self._gives() and self.done()

    def _gives(self) -> bool:
        return self.whole is not None or any(lines is not None for lines in self.blocks.values())

    def write(self) -> None:
        """Do it, in one piece; the file keeps its mode, unless another is wanted."""
        if self.idle():
            return
        mode = files.mode(self.path) if files.there(self.path) else 0o644
        files.write_atomic(self.path, self.after(self.before()), self.mode or mode)

    def adds(self) -> str:
        """What its blocks add to the file as the server made it: the diff, also once it is done."""
        text = files.text(self.path)
        added = (block for block, lines in self.blocks.items() if lines is not None)
        return "".join(conf.addition(text, block, self.name, first=self._first) for block in added)


def diffs(edits: Iterable[Edit]) -> str:
    """What edits that are made one after the other change, as `patch` takes it."""
    texts: dict[Path, str] = {}
    found = ""
    for edit in edits:
        before = texts.get(edit.path, edit.before())
        texts[edit.path] = edit.after(before)
        found += conf.diff(before, texts[edit.path], edit.name)
    return found
