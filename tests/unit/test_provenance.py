"""What a run says of the sources it comes from: this checkout's commit, or why it is not known; never another one's."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from pgrepl_lib.journal import provenance
from pgrepl_lib.words import language


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, as the checkout that the notebooks come from."""
    made = tmp_path / "ours"
    commit(made)
    lies_in(monkeypatch, made)
    return made


def lies_in(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    """The code runs from this checkout; None: it is an installed package."""
    monkeypatch.setattr(provenance, "checkout", lambda: folder)


def commit(folder: Path) -> str:
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "a").write_text(folder.name)
    git(folder, "add", "a")
    git(folder, "commit", "--quiet", "-m", "a")
    return git(folder, "rev-parse", "HEAD")


def unknown() -> str:
    facts = provenance.facts()
    assert facts["repository"] is None
    return str(facts["repository_unknown"])


def test_the_commit_and_whether_it_was_clean(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert provenance.facts()["repository"] == {"commit": head, "clean": True}
    (checkout / "b").touch()
    assert provenance.facts()["repository"] == {"commit": head, "clean": False}
    assert "repository_unknown" not in provenance.facts()


def test_an_installed_package_says_so_and_asks_no_repository(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies_in(monkeypatch, None)
    monkeypatch.setenv("PATH", "")
    assert unknown() == f"an installed package: pgrepl {version('pgrepl')}"


def test_another_repository_in_the_callers_environment_is_not_taken(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = commit(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    head = git(checkout, "rev-parse", "HEAD")
    assert provenance.facts()["repository"] == {"commit": head, "clean": True} and head != other


def test_why_it_is_not_known(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "site-packages").mkdir()
    with monkeypatch.context() as patch:
        lies_in(patch, checkout / "site-packages")
        assert "another one" in unknown()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(checkout))
        assert "Cannot run git" in unknown()
    (checkout / ".git/HEAD").write_text("ref: refs/heads/none\n")
    assert "HEAD" in unknown()
    git_folder = checkout / ".git"
    git_folder.rename(checkout / "moved")
    assert "not a git repository" in unknown()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")
def test_a_repository_that_git_does_not_trust(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkout))
    monkeypatch.delenv("SUDO_UID", raising=False)
    for path in (checkout, checkout / ".git"):
        os.chown(path, 65534, 65534)
    assert "dubious ownership" in unknown()


def test_a_run_records_the_language_that_was_asked_for_and_else_portuguese(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for asked, recorded in (("", "pt_BR"), ("en", "en"), ("pt", "pt_BR")):
        monkeypatch.setenv("PGREPL_LANG", asked)
        monkeypatch.setenv("LANG", "en_US.UTF-8")
        language.follow_environment()
        assert provenance.facts()["language"] == recorded
