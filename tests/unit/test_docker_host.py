"""What Podman's socket wants otherwise than Docker's, seen without it: in what order it is asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import requests
from docker.errors import APIError

from pgrepl_lib.engine.docker import host


def refusal(code: int) -> APIError:
    answer = requests.Response()
    answer.status_code = code
    return APIError("no", response=answer)


@pytest.mark.parametrize("going", [0, *host.GOING])
def test_a_container_is_killed_before_it_is_removed_and_one_that_goes_is_fine(
    going: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman waits for the end of one that ignores its stop signal, longer than we do for an answer."""
    asked = []

    def kill(key: str) -> None:
        asked.append(("kill", key))
        raise refusal(409)  # it does not run

    def remove(key: str, **how: bool) -> None:
        asked.append(("remove", key))
        assert how == {"force": True, "v": True}
        if going:
            raise refusal(going)

    api = SimpleNamespace(kill=kill, remove_container=remove)
    monkeypatch.setattr(host, "client", lambda: SimpleNamespace(api=api))
    host.remove_container("abc")
    assert asked == [("kill", "abc"), ("remove", "abc")]


def test_another_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(key: str, **how: bool) -> None:
        raise refusal(500)

    api = SimpleNamespace(kill=lambda key: None, remove_container=remove)
    monkeypatch.setattr(host, "client", lambda: SimpleNamespace(api=api))
    with pytest.raises(APIError):
        host.remove_container("abc")
