"""A participant of a class as the Hub knows him: a browser's cookies, a notebook server, a terminal, a kernel."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from typing import Any
from uuid import uuid4

import requests
import urllib3
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.conftest import PATIENCE

SECONDS = 120 * PATIENCE
ENDED = 424  # the Hub's answer for a notebook server that does not run
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # nobody has signed it


async def heard_until(end: str, line: WebSocketClientConnection, message: object) -> str:
    """All that is answered to a message of Jupyter's, up to what holds this."""
    await line.write_message(json.dumps(message))
    heard = ""
    while end not in heard:
        said = await asyncio.wait_for(line.read_message(), SECONDS)
        assert said is not None, heard
        heard += str(said)
    line.close()
    return heard


class Participant:
    """Whoever has a login and its password."""

    def __init__(self, port: int, login: str) -> None:
        self.base, self.login = f"https://127.0.0.1:{port}", login
        self.browser = requests.Session()
        self.browser.trust_env, self.browser.verify = False, False

    @property
    def own(self) -> str:
        return f"{self.base}/user/{self.login}"

    def sign_in(self, password: str) -> int:
        """By the Hub's own form; the status of the answer."""
        self.browser.get(f"{self.base}/hub/login", timeout=SECONDS)
        form = {"username": self.login, "password": password, "_xsrf": self._xsrf("/hub/")}
        return self.browser.post(f"{self.base}/hub/login", form, timeout=SECONDS).status_code

    def wait_for_server(self) -> None:
        """Until the notebook server shows JupyterLab, as the page that is shown meanwhile does."""
        until = time.monotonic() + SECONDS
        while True:
            seen = self.browser.get(f"{self.own}/lab", timeout=SECONDS)
            if seen.ok and seen.url.startswith(f"{self.own}/lab"):
                return
            assert time.monotonic() < until, (seen.status_code, seen.url)
            time.sleep(0.3)

    def open_again(self) -> None:
        """By the button that the Hub shows, once it has seen that the notebook server ended."""
        until = time.monotonic() + SECONDS
        while self.browser.get(f"{self.own}/lab", timeout=SECONDS).status_code != ENDED:
            assert time.monotonic() < until
            time.sleep(1)
        self.browser.get(f"{self.base}/hub/spawn/{self.login}", timeout=SECONDS)
        self.wait_for_server()

    def ask(self, path: str, method: str = "GET", of: str = "") -> Any:
        """What a notebook server answers: the own one, or somebody else's."""
        url = f"{self.base}/user/{of or self.login}/{path}"
        headers = {"X-XSRFToken": self._xsrf(f"/user/{self.login}/")}
        answer = self.browser.request(
            method, url, headers=headers, json={}, timeout=SECONDS, allow_redirects=False
        )
        if answer.status_code >= 300:  # also to where one signs in
            raise requests.HTTPError(answer.status_code, response=answer)
        return answer.json()

    def typed(self, command: str) -> str:
        """What the terminal shows after a command."""
        name = self.ask("api/terminals", "POST")["name"]
        end = f"end-{uuid4().hex}"
        line = f"{command}; echo {end[:4]}''{end[4:]}\r"  # the echo of what is typed is no end
        return self._talk(f"terminals/websocket/{name}", ["stdin", line], end)

    def executed(self, code: str, end: str) -> str:
        """What a new kernel says to a cell, until it has said how that ends."""
        kernel = self.ask("api/kernels", "POST")["id"]
        header = {"msg_id": uuid4().hex, "msg_type": "execute_request", "username": ""}
        message = {
            "header": {**header, "session": uuid4().hex, "version": "5.3"},
            "parent_header": {},
            "metadata": {},
            "channel": "shell",
            "content": {"code": code, "silent": False, "store_history": False},
        }
        return self._talk(f"api/kernels/{kernel}/channels", message, end)

    def _talk(self, path: str, message: object, end: str) -> str:
        return asyncio.run(self._say(f"{self.own}/{path}".replace("http", "ws", 1), message, end))

    async def _say(self, address: str, message: object, end: str) -> str:
        known = ssl.create_default_context()
        known.check_hostname, known.verify_mode = False, ssl.CERT_NONE
        headers = {"Cookie": self._cookies(), "X-XSRFToken": self._xsrf(f"/user/{self.login}/")}
        line = await websocket_connect(HTTPRequest(address, headers=headers, ssl_options=known))
        return await heard_until(end, line, message)

    def _cookies(self) -> str:
        """Those that the browser would send to the own server."""
        own = [c for c in self.browser.cookies if f"/user/{self.login}/".startswith(c.path)]
        return "; ".join(f"{c.name}={c.value}" for c in own)

    def _xsrf(self, path: str) -> str:
        return str(self.browser.cookies.get("_xsrf", path=path) or "")
