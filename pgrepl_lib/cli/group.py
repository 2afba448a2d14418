"""The command `pgrepl` itself: errors become a message and an exit code."""

from __future__ import annotations

import io
import signal
import sys
from typing import Any

import click

from ..doors import outside, terminal
from ..errors import PgreplError

EPILOG = (
    "Exit codes: 0 done; 1 a step or check failed; 2 bad parameters or usage; 3 the environment lacks something; "
    "130 interrupted (running again goes on)."
)
INTERRUPTED = 130


class Guarded(click.Group):
    """Turns the project's errors, and those from outside, into a message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except PgreplError as error:
            terminal.tell(f"pgrepl: {error}")
            sys.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else error.exit_code)
        except KeyboardInterrupt:
            terminal.tell("pgrepl: interrupted; run again to go on")
            sys.exit(INTERRUPTED)
        except Exception as error:
            if (told := outside.told(error)) is None:
                raise
            terminal.tell(f"pgrepl: {told}")
            sys.exit(told.exit_code)
        finally:
            exec(
                ""
            )  # CPython would die of SIGINT, not exit, after one that passed through an exec(), as in an import


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="pgrepl")
def main() -> None:
    """Set up, verify and operate PostgreSQL streaming replication, and keep a record of what was done.

    The chapters are notebooks; `run` executes them without a browser. Running again changes only what is left.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="replace"
        )  # a terminal that lacks a character is no reason to fail


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, _stop)
