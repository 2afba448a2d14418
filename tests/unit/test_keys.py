"""The keys that sign runs: made once, for their owner only; what is no such key is refused with a remedy."""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.signer import CryptoSigner, SSlibKey

from pgrepl_lib.errors import EnvironmentLacking, ParameterError
from pgrepl_lib.evidence.signing import keys


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration folder of a user who has no key yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config/pgrepl"


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def made(path: Path, *options: str, algorithm: str = "ed25519", mode: int = 0o600) -> Path:
    openssl("genpkey", "-algorithm", algorithm, *options, "-out", path)
    path.chmod(mode)
    return path


def test_the_users_own_key_is_made_once_and_for_them_alone(home: Path) -> None:
    first = keys.signer().public_key
    assert keys.signer().public_key == first == keys.own_public()
    assert {
        p.name: stat.S_IMODE(p.stat().st_mode) for p in home.iterdir() if p.suffix != ".lock"
    } == {"signing-key.pem": 0o600, "signing-key.pub": 0o644}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    published = load_pem_public_key((home / "signing-key.pub").read_bytes())
    assert SSlibKey.from_crypto(published) == first == keys.public(home / "signing-key.pub")


def test_runs_that_start_at_once_make_one_key(home: Path) -> None:
    program = "from pgrepl_lib.evidence.signing import keys; print(keys.signer().public_key.keyid)"
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = {process.communicate(timeout=60)[0] for process in started}
    assert len(said) == 1 and keys.signer().public_key.keyid in said.pop()


def test_looking_for_a_key_makes_none(home: Path) -> None:
    assert keys.own_public() is None and not home.exists()


def test_a_key_of_openssl_signs_and_another_own_key_is_published(
    home: Path, tmp_path: Path
) -> None:
    path = made(tmp_path / "key.pem")
    openssl("pkey", "-in", path, "-pubout", "-out", tmp_path / "key.pub")
    assert keys.signer(path).public_key == keys.public(tmp_path / "key.pub")
    assert keys.pem(keys.signer(path).public_key) == (tmp_path / "key.pub").read_text()
    assert not home.exists(), "who names a key needs no other"
    before = keys.signer().public_key
    (home / "signing-key.pem").write_bytes(path.read_bytes())
    assert (
        keys.signer().public_key == keys.own_public() == keys.public(tmp_path / "key.pub") != before
    )


def test_the_environment_names_a_key_and_an_option_another(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = made(tmp_path / "one"), made(tmp_path / "other")
    monkeypatch.setenv("PGREPL_SIGNING_KEY", str(one))
    assert keys.signer().public_key == keys.own_public() == keys.signer(one).public_key
    assert keys.signer(other).public_key != keys.own_public()
    monkeypatch.setenv("PGREPL_SIGNING_KEY", "")
    assert keys.own_public() is None and not home.exists()


def refused(path: Path) -> str:
    with pytest.raises(ParameterError) as error:
        keys.signer(path)
    assert error.value.remedy and str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    assert f"mode {mode:04o}" in refused(made(tmp_path / "key", mode=mode))


def test_what_is_no_signing_key_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "missing")
    assert "not a file" in refused(tmp_path)
    assert "encrypted" in refused(made(tmp_path / "encrypted", "-aes256", "-pass", "pass:geheim99"))
    assert "not an Ed25519 key" in refused(made(tmp_path / "rsa", algorithm="rsa"))
    assert "not an Ed25519 key" in refused(made(tmp_path / "x25519", algorithm="x25519"))
    for content in (
        b"",
        b"\x00\xff",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ):
        (tmp_path / "odd").write_bytes(content)
        (tmp_path / "odd").chmod(0o600)
        assert "not a private key" in refused(tmp_path / "odd")
    (tmp_path / "odd").write_text(keys.pem(CryptoSigner.generate_ed25519().public_key))
    assert "not a private key" in refused(tmp_path / "odd")


def test_the_commands_of_a_refusal_can_be_copied_whatever_the_folder_is_called(
    tmp_path: Path,
) -> None:
    place = tmp_path / "pasta é x"
    place.mkdir()
    open_key = made(place / "key", mode=0o640)
    command = re.search(r"what to do: (.*);", refused(open_key))
    assert command and subprocess.run(["sh", "-c", command[1]]).returncode == 0
    assert keys.signer(open_key)
    locked = made(place / "locked", "-aes256", "-pass", "pass:geheim99")
    command = re.search(r"what to do: (.*)", refused(locked))
    assert command and shlex.split(command[1])[:4] == ["openssl", "pkey", "-in", str(locked)]


def test_what_is_no_public_key_is_refused(tmp_path: Path) -> None:
    private, rsa = made(tmp_path / "private"), made(tmp_path / "rsa", algorithm="rsa")
    openssl("pkey", "-in", rsa, "-pubout", "-out", tmp_path / "rsa.pub")
    (tmp_path / "odd").write_bytes(b"\xff")
    expected = {
        "private": "holds a private key",
        "rsa.pub": "not an Ed25519",
        "odd": "not a public key",
        "no": "No such file",
    }
    for name, said in expected.items():
        with pytest.raises(ParameterError, match=said) as error:
            keys.public(tmp_path / name)
        assert error.value.remedy
    assert "PRIVATE KEY" not in str(error.value) and private.read_text().splitlines()[1] not in str(
        error.value
    )


def test_where_no_key_can_be_kept_one_must_be_named(home: Path) -> None:
    home.parent.mkdir()
    home.write_text("a file where the folder should be")
    with pytest.raises(EnvironmentLacking, match="signing key") as error:
        keys.signer()
    assert "--key" in error.value.remedy and "PGREPL_SIGNING_KEY" in error.value.remedy
