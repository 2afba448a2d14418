"""The leader's page as a service of the Hub: what participants' journals tell, for the leader.

The Hub starts it (`python -m pgrepl_lib.classroom.room FOLDER`), and again where it ends. Journals
lie in homes that only their owners may enter, so no ordinary user can read them; and it changes
nothing, so it need not be root (see `reader`).
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler, StaticFileHandler, authenticated

from ..doors import command
from ..doors.command import Command
from ..errors import CommandFailed, EnvironmentLacking
from ..leading import pages, progress
from ..words import language
from ..words.text import t
from . import roster

EVERY = 2  # seconds between two looks of a page that is open
STUCK = 15.0  # minutes, as `pgrepl class status` has it
REMEMBERED = 30  # seconds: then the Hub is asked again whether he may still see it
NOBODY = 65534  # the user and the group that own nothing
READS = "-all,+dac_read_search"  # capabilities(7): reads every file, and writes none
PREFIX = "JUPYTERHUB_SERVICE_PREFIX"  # what the Hub says: our path, and where to listen
URL = "JUPYTERHUB_SERVICE_URL"


def reader() -> tuple[str, ...]:
    """What starts a program that may read all files, and do nothing else that root may.

    Empty where the system cannot give away that much and no more, as in many containers: there it
    is root's, as the Hub is.
    """
    who = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    may = (f"--{kind}={READS}" for kind in ("inh-caps", "ambient-caps", "bounding-set"))
    found = ("setpriv", *who, *may)
    try:
        command.run(Command((*found, "true")), cwd=Path("/"))
    except (CommandFailed, EnvironmentLacking):
        return ()
    return found


class Room(HubOAuthenticated, RequestHandler):
    """The page; the Hub says who may see it."""

    def initialize(self, folder: str) -> None:
        self.file = Path(folder) / roster.FILE

    @authenticated
    def get(self) -> None:
        """As the class is now: people come and go."""
        made = roster.read_file(self.file)
        assert made, self.file
        rows = progress.look(made.projects, STUCK)
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.set_header("Cache-Control", "no-store")
        self.write(pages.page(t("Class {name}", name=made.name), rows, again=EVERY, served=True))


def serve(folder: str) -> None:
    """Give the page, until the Hub ends us."""
    language.speak(language.PORTUGUESE)  # as all that the Hub shows
    HubOAuth.instance(cache_max_age=REMEMBERED)
    own, at = os.environ[PREFIX], urlsplit(os.environ[URL])
    assert at.port, at
    script = {"path": str(pages.SCRIPT.parent)}
    handlers: list[Any] = [
        (own, Room, {"folder": folder}),
        (f"{own}oauth_callback", HubOAuthCallbackHandler),
        (f"{own}({pages.SCRIPT.name})", StaticFileHandler, script),
    ]
    site = Application(handlers, cookie_secret=secrets.token_bytes(32))
    HTTPServer(site, xheaders=True).listen(at.port, at.hostname)
    IOLoop.current().start()


if __name__ == "__main__":
    serve(sys.argv[1])
