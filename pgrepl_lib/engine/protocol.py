"""What the cluster needs of the thing that runs its instances: one contract for all engines."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol

from ..doors.command import Command, Completed
from ..doors.db import Address
from ..doors.program import silently
from ..params import Params
from .action import Action, Tell
from .life import Life


class Engine(Protocol):
    """What the cluster needs of the thing that runs its instances. Instances are given by name."""

    name: str
    params: Params
    ports: Mapping[str, int]
    id: str  # of the project, which all that is made outside its folder carries; empty before
    had_data: bool  # whether the cluster has ever had data: then nothing makes it anew

    def facts(self) -> dict[str, str]:
        """Versions and checksums of what is used, for the preflight and the journal."""

    def look_only(self) -> None:
        """From now on this engine is only asked; what it needs is not fetched by asking."""

    def fetch(self) -> Action:
        """Get the image or the binaries, if they are not here."""

    def prepare(self) -> None:
        """Write what the engine itself needs into the cluster's folder; quick and repeatable."""

    def preparation(self) -> tuple[str, ...]:
        """What a person would type in the cluster's folder for the same."""

    def hand_over(self, *folders: str) -> tuple[str, ...]:
        """What a person would type so that the server's user owns these folders."""

    def shut_out(self) -> str:
        """Why the server's user could not reach the cluster's folder; empty where it can."""

    def refuse_settings(self, settings: Mapping[str, str]) -> list[str]:
        """The server's own complaints about names and values, asked before anything is touched."""

    def start_temporary(self) -> Action:
        """A temporary server of the wanted version, ready to copy its configuration files from."""

    def start_temporary_replica(self, name: str) -> Action:
        """A place with the replica's empty data folder, in which the base backup can run."""

    def copy_out(self, temporary: str, file: str, target: Path) -> Action:
        """Copy a configuration file from a temporary instance's data folder."""

    def remove_temporary(self, temporary: str, keep_for: str = "") -> Action:
        """Remove a temporary instance; its data become those of the instance `keep_for`."""

    def base_backup(
        self, name: str, source: str, arguments: tuple[str, ...]
    ) -> tuple[Command, ...]:
        """`pg_basebackup` from the instance `source`, with these arguments."""

    def backup_complete(self, name: str) -> bool:
        """Whether the temporary replica's base backup is complete: its manifest comes last."""

    def discard_backup(self, name: str) -> None:
        """Empty the temporary replica's data folder.

        An interrupted base backup has left something there, or still writes.
        """

    def forget_recovery_settings(self, name: str, *, temporary: bool = True) -> Command:
        """Remove what `--write-recovery-conf` wrote (corrections 4 and 5)."""

    def protected(self, name: str, file: str) -> str:
        """A file in an instance's data that its server alone may read, as it sees the path."""

    def give(self, name: str, given: Mapping[str, str]) -> Action:
        """Files of `secrets/` into an instance's data, for its server alone, by their names there.

        `pg_basebackup` and `pg_rewind` bring what their source has.
        """

    def start(self, name: str, *, initialise: bool = False) -> Action:
        """Start an instance; done when its process or container runs, and the others can find it.

        One that is paused goes on where it was: whom that must not be allowed is killed first.
        What is left of a server that somebody has killed is ended before another one starts.

        initialise: where the first primary has no data yet, an empty cluster is made. Without,
        data that are gone are never replaced by an empty cluster: raises `StepFailed`.
        """

    def other_image(self, name: str) -> str:
        """The id of the image that it runs on, where the image's name means another one now."""

    def renew(self, name: str) -> Action:
        """Let it run on the image that is meant now; a start alone changes no image."""

    def stop(self, name: str) -> Action:
        """Stop an instance and wait until it has ended; one that is paused goes on for that."""

    def kill(self, name: str) -> Action:
        """SIGKILL for all that runs of it, and see it gone: no commit is confirmed any more.

        Raises `WaitTimeout` where the system does not end it.
        """

    def forbid_writes(self, name: str) -> Action:
        """`standby.signal` into a stopped instance's data: however it starts, it refuses writes.

        Without data it is done: nothing comes up.
        """

    def allow_writes(self, name: str) -> Action:
        """Take `standby.signal` of a stopped instance back."""

    def discard_data(self, name: str) -> Action:
        """Remove an instance that does not run, with its data."""

    def copy_beside(self, name: str, source: str, arguments: tuple[str, ...]) -> Action:
        """A base backup from `source` beside the data of a stopped instance, which stay.

        What an interrupted one has left goes first.
        """

    def discard_copy(self, name: str) -> None:
        """Remove such a copy, complete or not."""

    def exchange(self, name: str) -> Action:
        """The copy becomes the instance's data, then the old ones go; can be done again."""

    def archive(self, name: str, target: Path) -> Command:
        """A stopped instance's data into a tar file for its owner alone, once it is complete."""

    def free_space(self, name: str) -> int:
        """Bytes that are free where an instance's data lie."""

    def on_data(self, name: str, *argv: str) -> Command:
        """A program on a file of a stopped instance's data, which is its last word."""

    def control_file(self, name: str) -> bytes:
        """`global/pg_control` of an instance, running or not."""

    def rewind(self, name: str, source: str) -> tuple[Command, ...]:
        """`pg_rewind` of a stopped instance from `source`; empty where that program is not."""

    def small_server(self, megabytes: int) -> AbstractContextManager[Address]:
        """A server on a file system of this size, for the drill of the full disk.

        It is gone afterwards. Raises `EnvironmentLacking` where this user may not make one.
        """

    def tool(self, name: str, program: str, *arguments: str) -> Command:
        """A client program such as pgbench that works as superuser; not every machine has each.

        Shown as `client`; its sessions have our own settings and no time limit (`sessions.OURS`).
        """

    def client(self, name: str, *argv: str, terminal: bool = False) -> Command:
        """A client program (psql) inside the instance, as superuser; terminal: interactively."""

    def inside(self, name: str, *argv: str) -> Command:
        """The same without Compose, for what is not shown: quicker."""

    def run(
        self, command: Command, tell: Tell = silently, *, check: bool = True, source: str = ""
    ) -> Completed:
        """Run a command in the cluster's folder. source: the instance that it reads from."""

    def has_data(self, name: str) -> bool:
        """Whether a complete data folder exists."""

    def life(self, name: str) -> Life:
        """What its processes are at. Only `ended` says that nothing of it writes any more."""

    def running(self, name: str) -> bool:
        """Whether its server can be asked. What is not running has not ended, it may be paused."""

    def frozen(self, name: str) -> bool:
        """Whether a process of it was told to stop where it is (SIGSTOP); a start lets it go on.

        Where that cannot be seen, it is not known of one that runs.
        """

    def join(self, name: str) -> Action:
        """Give an instance its place in the cluster's network: others find it by its name."""

    def reaches(self, name: str, other: str) -> bool:
        """Whether one running instance gets through to another one as its settings name it."""

    def activity(self, name: str) -> str:
        """What its processes are at: it changes while one that does not answer yet gets on."""

    def log_tail(self, name: str) -> str:
        """The server's last log lines."""

    def address(self, name: str) -> Address:
        """How this machine reaches it as superuser."""

    def upstream(self, name: str) -> tuple[str, int]:
        """Host and port of an instance as the others see it."""

    def rule_network(self) -> IPv4Network:
        """The network that the replication rule of `pg_hba.conf` admits."""

    def configuration_path(self, name: str, file: str) -> str:
        """The path of a configuration file as the server sees it."""

    def outside_the_rule(self, name: str) -> tuple[str, int, str]:
        """Host and port of an instance, and an address of this machine that its rule bars."""

    def strangers(self, *, temporaries: bool = False) -> list[str]:
        """What is somebody else's under a name that this project needs, and whose it is.

        temporaries: also the names that only the set-up needs.
        """

    def find_id(self) -> str:
        """The id of the cluster that was made in this very folder; empty where there is none."""

    def existing(self) -> list[str]:
        """What exists of this cluster beside its text files: containers, volumes, data."""

    def remove_all(self) -> Action:
        """Stop and remove all of it."""
