"""A run's folder for people: each executed notebook as HTML, and a summary."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..doors.files import write_atomic
from ..journal.chapter import OPERATE, SET_UP
from ..journal.runs import SUMMARY, Run
from . import junit, replay, report
from .signing import attestation
from .signing.statements import CONFIGURATION

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

# nbconvert's page cuts long code lines off, and shows code blocks of outputs in the text's font,
# diffs without colour.
STYLE = """<style>
.jp-InputArea-editor .highlight pre { white-space: pre-wrap; overflow-wrap: anywhere }
.jp-RenderedSVG img { max-width: 100%; height: auto }
.jp-RenderedMarkdown .highlight pre { font-family: var(--jp-code-font-family); line-height: 1.4;
  padding: 4px 8px; background: #f7f7f7; overflow-x: auto; white-space: pre-wrap; color: #24292f }
.jp-RenderedMarkdown .highlight .gi { color: #116329; background: #e6ffec }
.jp-RenderedMarkdown .highlight .gd { color: #82071e; background: #ffebe9 }
.jp-RenderedMarkdown .highlight .gu { color: #6e7781 }
.jp-RenderedMarkdown .highlight .gp { color: #6e7781 }
</style>"""


class Exporter:
    """Turns executed chapters into HTML beside them, while the next chapter runs in its kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The thread that feeds the kernel must not wait long for this one.
        sys.setswitchinterval(0.0005)
        self._pool = ThreadPoolExecutor(1)
        self._pending: dict[Path, Future[None]] = {}

    def add(self, notebook: Path) -> None:
        """Export this notebook in the background, and have the report's template ready by then."""
        self._pending[notebook] = self._pool.submit(_export, notebook)
        self._pool.submit(report.template_of_page)

    def finish(self, notebooks: Sequence[Path]) -> None:
        """Export what is left, a chapter that failed too, and wait; raises what went wrong."""
        for notebook in notebooks:
            if notebook not in self._pending:
                self.add(notebook)
        for each in self._pending.values():
            each.result()
        self._pool.shutdown()


def leave(run: Run, signer: CryptoSigner) -> None:
    """Once the journal's ending is known: the rest of the evidence, and its signature."""
    write(run)
    attestation.seal(run, signer)  # last: nothing may be written afterwards


def write(run: Run) -> None:
    """Everything that a run's folder holds besides its journal, its notebooks and the signature."""
    write_summary(run)
    _copy_configuration(run)
    replay.write(run)
    report.write(run)
    junit.write(run)


def _copy_configuration(run: Run) -> None:
    """`configuration/`: the files that the servers and Compose read, as the run leaves them."""
    cluster, kept = run.folder.parents[1], run.folder / CONFIGURATION
    settings, compose = cluster.glob("*/*.conf"), cluster.glob("docker-compose*.yaml")
    for path in (*settings, *compose, cluster / ".env"):
        if path.is_file():
            write_atomic(kept / path.relative_to(cluster), path.read_bytes())


def write_summary(run: Run) -> dict[str, Any]:
    """`summary.json`: the verdict, and how many steps and checks ended how."""
    summary = {
        "run": run.name,
        **attestation.ending(run),
        "engine": run.first("engine").get("facts", {}),
        **run.counts(),
        "params": run.first("run")["params"],
        "journal": {"lines": len(run.entries)},
    }
    write_atomic(run.folder / SUMMARY, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


@cache
def _exporter() -> Any:
    """nbconvert with no templates but those installed with it: a template is a program.

    By itself it prefers those of the current folder and of JUPYTER_PATH. Made once for all
    chapters, since it compiles its templates.
    """
    from jupyter_core.paths import ENV_JUPYTER_PATH, SYSTEM_JUPYTER_PATH, jupyter_data_dir
    from nbconvert import HTMLExporter

    places = (*ENV_JUPYTER_PATH, jupyter_data_dir(), *SYSTEM_JUPYTER_PATH)
    installed = [p for p in places if Path(p, "nbconvert/templates/lab").is_dir()]

    class OwnTemplates(HTMLExporter):
        def get_prefix_root_dirs(self) -> list[str]:
            return installed[:1]

    only: dict[str, list[str]] = {"extra_template_basedirs": [], "template_data_paths": []}
    return OwnTemplates(embed_images=True, language_code="pt", **only)


def _export(notebook: Path) -> None:
    body, _ = _exporter().from_filename(str(notebook))
    body = body.replace("</head>", f"{STYLE}</head>", 1)
    body = re.sub(r'<a href="([^":]+)">(.*?)</a>', _link, body)
    if title := re.search(r"<title>(.*?)</title>", str(_first_svg(notebook))):
        body = body.replace("No description has been provided for this image", title[1])
    write_atomic(notebook.with_suffix(".html"), body)


def _link(match: re.Match[str]) -> str:
    """A link to another chapter of the run leads to its page; any other is none."""
    chapter = Path(match[1]).stem
    if chapter not in (*SET_UP, *OPERATE):
        return match[2]
    return f'<a href="{chapter}.html">{match[2]}</a>'


def _first_svg(notebook: Path) -> str:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    outputs = (output.get("data", {}) for cell in cells for output in cell.get("outputs", []))
    pictures = (shown["image/svg+xml"] for shown in outputs if "image/svg+xml" in shown)
    return "".join(next(pictures, ""))
