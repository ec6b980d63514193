"""The page of a run: everything in one file, which opens from disk and asks nothing of the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from flipgrad import __version__
from flipgrad._comparison_groups import mapping
from flipgrad._files import write_whole
from flipgrad.errors import InputError
from flipgrad.plots._style import DOMAIN_COLORS, PALETTE
from flipgrad.report import chinese, class_figures, embeddings, english, figures, parts, thumbnails
from flipgrad.report.command import command
from flipgrad.report.contents import Contents
from flipgrad.report.gathering import gather
from flipgrad.report.text import distinct, exact, named, pairs, script_json
from flipgrad.report.top import top
from flipgrad.scores import DEFAULT

LANGUAGES: dict[str, Any] = {"en": english, "zh": chinese}
_SECTIONS = (
    "results", "health", "embeddings", "domain_accuracy", "curves", "scores", "measures", "class_shares", "confusion",
    "samples", "provenance",
)  # fmt: skip


def write(
    run: str | os.PathLike[str], language: str = "en", *, report: Callable[[str], None] = lambda line: None
) -> Path:
    """Writes ``report.html`` into a run folder, from what lies there; what is missing is marked in the page.

    Args:
        run: the folder, finished or not.
        language: ``"en"`` or ``"zh"``.
        report: told, in a line each, which files could not be read, and what the page is without.

    Returns:
        The path of the page.

    Raises:
        InputError: the folder is no run, another language, or ``report.html`` is a folder.
        OSError: it cannot be written.
    """
    if language not in LANGUAGES:
        raise InputError(f"Argument `language`: expected en or zh, received {language!r}.")
    found = gather(run)
    path = write_whole(found.path / "report.html", render(found, language).encode(errors="replace"))
    for line in found.damages:
        report(line)
    return path


def render(found: Contents, language: str = "en") -> str:
    """The page as text."""
    tables = LANGUAGES[language]
    words = tables.WORDS
    context, data = _context(found, words, tables)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_file("page.html")).render(
        w=words,
        version=__version__,
        name=found.path.absolute().name,
        sections=_SECTIONS,
        css=Markup(_file("page.css")),
        script=Markup(_file("page.js")),
        plotly=Markup(_plotly()),
        data=Markup(script_json(data)),
        **context,
    )


def _context(found: Contents, words: figures.Words, tables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the template takes, and what the script does."""
    drawn: dict[str, figures.Figure] = {}

    def add(prefix: str, named: list[tuple[str, figures.Figure]]) -> list[tuple[str, str]]:
        """Figures under identifiers of our own: (identifier, title)."""
        identifiers = [(f"{prefix}-{place}", title) for place, (title, _) in enumerate(named)]
        drawn.update({identifier: figure for (identifier, _), (_, figure) in zip(identifiers, named, strict=True)})
        return identifiers

    def single(name: str, figure: figures.Figure | None) -> str | None:
        return add(name, [("", figure)])[0][0] if figure else None

    recorded = found.kept(found.main)
    inputs = found.inputs if recorded is not None else None
    predicted = None if recorded is None else embeddings.confidence(recorded.target_logits[-1])[0]
    pictures = inputs is not None and thumbnails.are_images(inputs.source_x)
    sheets = thumbnails.sheets(inputs.source_x, inputs.target_x) if inputs is not None and pictures else []
    lines = [] if inputs is None or pictures else parts.lines(found, inputs)
    context = {
        **top(found, words, tables),
        "gaps": parts.gaps(found, words),
        "domain": single("domain", figures.domain_accuracy(found, tables)),
        "curves": add("curve", [(named(name, tables), figure) for name, figure in figures.curves(found, tables)]),
        "scores": add("score", [(named(name, tables), figure) for name, figure in figures.scores(found, tables)]),
        "measures": add("measure", [(named(name, tables), figure) for name, figure in figures.measures(found, tables)]),
        "default_score": named(DEFAULT, tables),
        "epoch_note": parts.epoch_note(found, words),
        "shares": single(
            "shares", class_figures.class_shares(inputs, predicted, words) if inputs and predicted is not None else None
        ),
        "class_notes": parts.class_notes(inputs, recorded, words),
        "confusions": add("confusion", parts.confusions(found, words)),
        "samples": parts.samples(inputs, recorded, lines),
        "sheets": dict(zip(("source", "target"), sheets, strict=False)),
        "has_movies": inputs is not None,
        "colours": ["class", "domain", *(["oracle"] if inputs is not None and inputs.target_y is not None else [])],
        "left_out": words["left_out"].format(", ".join(found.left_out)) if found.left_out else "",
        "command": command(found.config),
        "settings": pairs(mapping(found.config.get("settings")), exact),
        "versions": pairs(mapping(found.config.get("versions"))),
        "checksums": pairs(mapping(found.config.get("data"))),
    }
    data = {
        "words": words,
        "figures": drawn,
        "movies": [] if inputs is None else embeddings.movies(found, words),
        "rows": None if inputs is None else embeddings.rows_of(inputs),
        "classes": [] if inputs is None else distinct(inputs.classes),
        "names": [] if inputs is None else inputs.classes.tolist(),
        "lines": lines or None,
        "sheets": [{"columns": sheet.columns} for sheet in sheets] or None,
        "colors": PALETTE,
        "domain_colors": DOMAIN_COLORS,
    }
    return context, data


def _file(name: str) -> str:
    return resources.files("flipgrad.report").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    return resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
