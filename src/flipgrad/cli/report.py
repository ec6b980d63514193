"""``flipgrad report``: the page of a finished or unfinished run."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from flipgrad.cli._errors import one_of, page_error, say
from flipgrad.cli._options import LANGUAGES
from flipgrad.errors import InputError


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run folders, of flipgrad adapt or run.")],
    lang: Annotated[str, typer.Option(metavar="NAME", help="Language of the page: en or zh.")] = "en",
    show: Annotated[bool, typer.Option("--open", help="Open the pages in the browser.")] = False,
) -> None:
    """Write report.html into each run folder: did it work, and what does it look like?

    The page holds everything itself and opens from disk without a network.  It is made from what lies in the folder; no
    model is loaded, and what is missing is marked.  A file that cannot be read is named on standard error, with what
    the page is therefore without; the exit code stays 0.  Of several runs one whose page cannot be written or opened
    does not stop the others; the exit code is then 2.

    \b
    Examples:
      flipgrad report runs/photos --open
      flipgrad report runs/* --lang zh
    """
    one_of("--lang", lang, LANGUAGES)
    from flipgrad.report import write
    from flipgrad.runs import Run

    folders = [Path(run).expanduser() for run in runs]
    for folder in folders:  # all of them before the first page is made
        Run.open(folder)
    failed: list[InputError] = []
    for folder in folders:
        try:
            page = write(folder, lang, report=say)
        except InputError as error:
            failed.append(error)
            continue
        except OSError as error:
            failed.append(page_error(error))
            continue
        print(page)
        if show and not _opened(page):
            line = (
                f"--open: found no browser on this machine; {page} is written, open it yourself or on another machine"
            )
            failed.append(InputError(line))
    for before in failed[:-1]:  # the last one ends the program
        say(str(before))
    if failed:
        raise failed[-1]


def _opened(page: Path) -> bool:
    try:
        return webbrowser.open(page.absolute().as_uri())
    except webbrowser.Error:
        return False
