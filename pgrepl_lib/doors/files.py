"""The door for writing files: atomic replace, modes, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import EnvironmentLacking, StepFailed, first_line
from ..words.text import Text, mark, t
from . import ahead

LINK = mark("{link} is a link to {place}")
OTHERS = stat.S_IWGRP | stat.S_IWOTH
BLOCK = 64 * 1024  # bytes that are read at once
PART = ".part"  # ends the name of a file that is being written
MOST = 64 * 1024**2  # bytes that are read into memory at once; ours are far fewer


def write_alone() -> None:
    """From now on nobody else may write what this process makes, whatever umask it was given."""
    os.umask(os.umask(OTHERS) | OTHERS)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write (read-only, full, not allowed) into an error of ours."""
    try:
        yield
    except OSError as error:
        raise EnvironmentLacking(
            t("Cannot write {path}: {why}.", path=path, why=first_line(error)),
            looked_at=[t("folder {path}", path=path.parent)],
            remedy=t(
                "free some space or allow writing there, or choose another place with the "
                "parameter workdir; then run again"
            ),
        ) from error


def write_atomic(
    path: Path, content: str | bytes, mode: int = 0o644, *, durable: bool = True
) -> None:
    """Replace a file as a whole: readers see the old or the new content, never a part (rename(2)).

    durable: flushed to the disk first; without, a crash of the machine may lose it. The same
    content is not written again. While steps are only planned, it is only foreseen.
    """
    if ahead.looking():
        _foresee(path, content, mode)
        return
    if isinstance(content, str):
        content = content.encode()
    with writing(path):
        if path.is_file() and path.stat().st_mode & 0o777 == mode and path.read_bytes() == content:
            return
        with replacing(path, mode, durable=durable) as stream:
            stream.write(content)


def _foresee(path: Path, content: str | bytes, mode: int) -> None:
    if isinstance(content, bytes):
        content = content.decode()
    if not there(path) or text(path) != content:
        ahead.seen().texts[path] = content
    ahead.seen().modes[path] = mode


@contextmanager
def replacing(path: Path, mode: int = 0o644, *, durable: bool = True) -> Iterator[BinaryIO]:
    """The same for content that comes bit by bit: the file is there once the block has ended."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())
            os.chmod(name, mode)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def hears(path: Path) -> None:
    """From now on what this process says goes to this file's end; where it cannot, nowhere.

    The file may lie where somebody else writes: nothing is waited for there, no link followed.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        heard = os.open(path, flags, 0o600)
    except OSError:
        heard = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(heard, number)
    os.close(heard)


def set_value(path: Path, value: str) -> None:
    """Write into a file that is no file: the system takes a setting there (as sysfs, cgroups)."""
    path.write_text(value)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process had not finished writing, in a folder and the folders in it."""
    for part in [*folder.glob(f".*{PART}"), *folder.glob(f"*/.*{PART}")]:
        part.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Append one line and flush it to the disk, so that a killed process keeps all it had written.

    A last line that a crash cut short holds no record and makes way.
    """
    with writing(path), path.open("ab") as stream:
        stream.truncate(last_line(path)[1])
        stream.write(line.encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def last_line(path: Path) -> tuple[bytes, int]:
    """The last complete line and the offset behind it.

    Only the file's end is read, since a journal grows for years.
    """
    with path.open("rb") as stream:
        start, tail = stream.seek(0, os.SEEK_END), b""
        while start and tail.count(b"\n") < 2:
            begin = max(0, start - BLOCK)
            stream.seek(begin)
            tail, start = stream.read(start - begin) + tail, begin
    complete = tail[: tail.rfind(b"\n") + 1]
    return complete[:-1].rpartition(b"\n")[2], start + len(complete)


def complete_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without their ends, one at a time; one that was cut short is left out.

    A line longer than `MOST` is given as its beginning, and is the last: nobody of ours wrote it.
    """
    with path.open("rb") as stream:
        while line := stream.readline(MOST + 1):
            if line.endswith(b"\n"):
                yield line[:-1]
            elif len(line) > MOST:
                yield line
                return


def cut_short(path: Path) -> bool:
    """Whether a file's last line has no end."""
    with path.open("rb") as stream:
        if not stream.seek(0, os.SEEK_END):
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"


def content(path: Path) -> bytes:
    """A file's bytes; raises `OSError` for one with more than `MOST`, be it sparse."""
    if (foreseen := ahead.seen().texts.get(path)) is not None:
        return foreseen.encode()
    with path.open("rb") as stream:
        found = stream.read(MOST + 1)
    if len(found) > MOST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return found


def text(path: Path) -> str:
    """A text file of ours; empty where there is none."""
    if path in (texts := ahead.seen().texts):
        return texts[path] or ""
    return path.read_text("utf-8") if path.exists() else ""


def there(path: Path) -> bool:
    """Whether there is such a file."""
    if path in (texts := ahead.seen().texts):
        return texts[path] is not None
    return path.exists()


def mode(path: Path) -> int:
    """A file's mode."""
    modes = ahead.seen().modes
    return modes[path] if path in modes else path.stat().st_mode & 0o777


def make_folder(path: Path, mode: int | None = None, owner: tuple[int, int] | None = None) -> None:
    """Make a folder (and its parents) with this mode and owner (uid, gid).

    mode: None gives a new one 0755, whatever the umask, and leaves one that is there as it is.
    """
    with writing(path / "x"):
        wanted = 0o755 if mode is None and not path.is_dir() else mode
        path.mkdir(parents=True, exist_ok=True)
        if wanted is not None:
            path.chmod(wanted)
        if owner:
            os.chown(path, *owner)


def require_ours(folder: Path) -> None:
    """Raise `EnvironmentLacking` unless a folder is this user's or root's, and theirs to write.

    Whoever does could lay links in it, and so have our files written somewhere else.
    """
    if folder.is_symlink() or folder.exists():
        owner = folder.lstat().st_uid
        if owner not in (0, os.geteuid()):
            raise EnvironmentLacking(
                t("{path} is somebody else's; nothing was touched.", path=folder),
                looked_at=[t("it belongs to the user with the number {number}", number=owner)],
                remedy=t("use another project name or work folder, or run as the user whose it is"),
            )
    for place in (p for p in (folder, *folder.parents) if p.exists()):
        mode = place.stat().st_mode
        if mode & stat.S_IWOTH and (place == folder or not mode & stat.S_ISVTX):
            raise _open_to_all(place, mode)


def _open_to_all(place: Path, mode: int) -> EnvironmentLacking:
    quoted = shlex.quote(str(place))
    return EnvironmentLacking(
        t("Every user may write in {path}; nothing was touched.", path=place),
        looked_at=[t("its mode is {mode}", mode=f"{mode & 0o7777:o}")],
        remedy=t("chmod o-w {path}, or another place with -p workdir", path=quoted),
    )


def move(path: Path, target: Path) -> None:
    """Give a file another name, at once (rename(2)); what has that name already is refused."""
    with writing(target):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        path.rename(target)


def make_link(path: Path, target: Path) -> None:
    """Make a symbolic link; one of this name that is there already stays."""
    with writing(path), suppress(FileExistsError):
        path.symlink_to(target)


def remove_below(root: Path, name: str) -> None:
    """Remove a file or a whole folder that really lies below a folder; a missing one is fine.

    A link goes, and what it leads to stays (`links`). Followed is only one that lies in the folder
    itself and is its owner's, as to data on another disk. Raises `StepFailed` for what lies
    elsewhere.
    """
    path, first = root / name, root / Path(name).parts[0]
    places = [root.resolve()]
    if first.is_symlink() and first.lstat().st_uid in (0, root.stat().st_uid):
        places.append(first.resolve())
    parent = path.parent.resolve()
    if ".." in path.parts or not any(parent.is_relative_to(place) for place in places):
        raise StepFailed(
            t("{path} leads out of {root}; nothing was removed there.", path=path, root=root),
            looked_at=[t("it lies in {path}", path=parent)],
            remedy=t("remove the link that leads there, then run again"),
        )
    remove(path)


def links(root: Path, names: Iterable[str]) -> list[Text]:
    """The links among these files and folders, and inside them, and where each leads."""
    found: list[Path] = []
    for path in (root / name for name in names):
        inside: list[Path] = []
        if path.is_dir() and not path.is_symlink():
            inside = sorted(path.rglob("*"))
        found += [p for p in (path, *inside) if p.is_symlink()]
    return [t(LINK, link=p.relative_to(root), place=p.resolve()) for p in found]


def remove(path: Path) -> None:
    """Remove a file or a whole folder; a missing one is fine."""
    if ahead.looking():
        ahead.seen().texts[path] = None
        return
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
