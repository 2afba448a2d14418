"""The command `pgrepl` itself: errors become a message and an exit code."""

from __future__ import annotations

import functools
import gettext
import inspect
import io
import os
import signal
import sys
from typing import Any

import click

from ..doors import files, outside, terminal
from ..errors import PgreplError
from ..words import language
from ..words.text import CATALOGUES, t

EPILOG = (
    "Exit codes: 0 done; 1 a step or check failed; 2 bad parameters or usage; "
    "3 the environment lacks something; 130 interrupted (running again goes on)."
)
INTERRUPTED = 130
CLICK = "messages"  # the catalogue with what click says itself
LANGUAGES = "|".join(language.LANGUAGES)
LANGUAGE = "pgrepl.language"  # among what a command and those above it share: that of --lang


def speak(context: click.Context, option: click.Parameter, name: str | None) -> None:
    """Speak this language from here on."""
    if not name:
        return
    if not (found := language.known(name)):
        raise click.BadParameter(LANGUAGES, context, option)
    language.ask_for(found)
    _let_click_speak()
    context.meta[LANGUAGE] = found


def _let_click_speak() -> None:
    """What click itself says comes from gettext, which goes by a variable."""
    gettext.bindtextdomain(CLICK, CATALOGUES)
    os.environ["LANGUAGE"] = language.spoken()


class Said:
    """A text of a command: kept in English, read in the language that is spoken."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"_english_{name}"

    def __get__(self, thing: object, owner: type) -> str | None:
        text: str | None = vars(thing).get(self.name)
        if not text:
            return text
        return t(inspect.cleandoc(text))

    def __set__(self, thing: object, text: str | None) -> None:
        vars(thing)[self.name] = text


class SpokenOption(click.Option):
    """An option with its help in the language that is spoken."""

    help = Said()


option = functools.partial(click.option, cls=SpokenOption)
LANG: dict[str, Any] = {
    "callback": speak,
    "expose_value": False,
    "is_eager": True,
    "metavar": LANGUAGES,
}


class Spoken(click.Command):
    """A command with its help in the language that is spoken, and that takes `--lang`."""

    help = Said()
    epilog = Said()

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        if not any("--lang" in known.opts for known in self.params):
            self.params.append(SpokenOption(["--lang"], hidden=True, **LANG))


class SpokenGroup(Spoken, click.Group):
    """A group of such commands."""

    command_class = Spoken


class Guarded(SpokenGroup):
    """Turns the project's errors, and those from outside, into a message and an exit code."""

    group_class = SpokenGroup

    def make_context(self, *given: Any, **more: Any) -> click.Context:
        """Before anything is said, the environment's language; `--lang` comes as an option."""
        language.follow_environment()
        _let_click_speak()
        return super().make_context(*given, **more)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except PgreplError as error:
            terminal.tell(f"pgrepl: {error}")
            sys.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else error.exit_code)
        except KeyboardInterrupt:
            terminal.tell(t("pgrepl: interrupted; run again to go on"))
            sys.exit(INTERRUPTED)
        except Exception as error:
            if (told := outside.told(error)) is None:
                raise
            terminal.tell(f"pgrepl: {told}")
            sys.exit(told.exit_code)
        finally:
            # After a SIGINT that passed through an exec(), as in an import, CPython would die of
            # it, not exit.
            exec("")


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="pgrepl")
@option(
    "--lang",
    **LANG,
    help="The language of what is shown, or PGREPL_LANG. [default: the locale's, else English]",
)
def main() -> None:
    """Set up, verify and operate PostgreSQL streaming replication, and keep a record of what was
    done.

    The chapters are notebooks; `run` executes them without a browser. Running again changes only
    what is left.
    """
    files.write_alone()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a character is no reason to fail.
        sys.stdout.reconfigure(errors="replace")


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, _stop)
