"""Plots and pictures in a notebook: whatever the page's paper, light or dark, all of it can be seen."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import matplotlib.image
import numpy
import pandas
import pytest

from pgrepl_lib.doors import show
from pgrepl_lib.notebook import plot
from pgrepl_lib.words import picture

PAPERS = {"light": 0xFF, "dark": 0x11}  # JupyterLab's two themes; each of the three colours
LEAST = 3.0  # contrast of what is no running text (WCAG 2.2, 1.4.11)
SAMPLES = pandas.DataFrame(
    [
        {"name": f"replica-{n}", "time": at, "bytes": n * at * 2**20, "seconds": n * at / 10}
        for n in range(1, 7)
        for at in range(20)
    ]
)


def luminance(colour: numpy.ndarray) -> float:
    """Of an sRGB colour (WCAG 2.2)."""
    linear = numpy.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(colour: str, paper: int) -> float:
    ink = numpy.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    light, dark = sorted((luminance(ink), luminance(numpy.full(3, paper / 255))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
@pytest.mark.parametrize("colour", [plot.INK, *plot.COLOURS])
def test_each_colour_of_a_plot_is_seen_on_either_paper(colour: str, paper: int) -> None:
    assert contrast(colour, paper) >= LEAST


@pytest.mark.parametrize(
    "drawn", [lambda: plot.lag(SAMPLES), lambda: plot.writes([0.1, 0.2, 1.5, 1.6])]
)
def test_a_plot_has_no_paper_and_no_black_of_its_own(
    drawn: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    monkeypatch.setattr(show, "png", lambda content, alt: made.append(content))
    drawn()
    seen = matplotlib.image.imread(io.BytesIO(made[0]))
    opaque = seen[seen[..., 3] > 0.9][:, :3]
    assert (seen[..., 3] == 0).mean() > 0.3 and seen[0, 0, 3] == 0
    assert len(opaque) > 500, "not blank"
    assert opaque.sum(axis=1).min() > 0.5 and opaque.sum(axis=1).max() < 2.8


def test_a_picture_of_a_cluster_has_no_paper_of_its_own() -> None:
    drawn = picture.draw([picture.Node("primary", "primary", ())], network="n", alt="a")
    assert not re.search(r'<rect width="\d+" height="\d+"', drawn)
