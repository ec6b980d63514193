"""The documentation says what is true: links, figures, commands, settings, and the README's code runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer

from flipgrad.cli._experiments import EXPERIMENTS
from flipgrad.cli._request import check
from flipgrad.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = [
    *(ENGLISH, CHINESE, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"),
    *sorted((ROOT / "docs").glob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMENT = re.compile(r"(?:^|\s+)#.*$", re.MULTILINE)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language, without comments."""
    return [COMMENT.sub("", body) for name, body in FENCE.findall(text(page)) if name == language]


def prose(page: Path) -> str:
    return FENCE.sub("", text(page))


def anchors(page: Path) -> set[str]:
    """The names under which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def commands(prefix: str) -> list[str]:
    """Every line of a bash block in any page that begins with ``prefix``."""
    found = [
        line.strip()
        for page in PAGES
        for block in blocks(page, "bash")
        for line in block.splitlines()
        if line.strip().startswith(prefix)
    ]
    return list(dict.fromkeys(found))


def command_of(*names: str):
    """The click command of these words."""
    command = typer.main.get_command(app)
    for name in names:
        command = command.commands[name]
    return command


def options(*names: str) -> set[str]:
    """The options that the help of a command lists."""
    command = command_of(*names)
    context = command.make_context("flipgrad", [], resilient_parsing=True, help_option_names=["--help"])
    with context:
        return set(OPTION.findall(command.get_help(context)))


@each_page
def test_every_relative_link_and_figure_exists(page):
    missing = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            missing.append(link)
    assert missing == []


@each_page
def test_no_measured_value_is_missing(page):
    assert re.findall(r"@@[^@\s]*@@", text(page)) == []


def test_every_option_in_the_pages_exists():
    names = [("data", "mnist-m"), ("data", "list"), *((name,) for name in command_of().commands)]
    known = options().union(*(options(*words) for words in names))
    used = {option: page.name for page in PAGES for option in OPTION.findall(text(page))}
    assert {option: page for option, page in used.items() if option not in known} == {}


@pytest.mark.parametrize("line", commands("flipgrad run"))
def test_every_run_command_is_accepted(line):
    command = command_of("run")
    words = shlex.split(line)[2:]
    with command.make_context("flipgrad run", words) as context:  # refuses unknown options
        given = dict(context.params)
    # What depends on the machine or on a folder is left out; all else must be known values.
    for name in ("out", "backend", "data_dir", "resume", "quiet", "as_json", "report", "tensorboard"):
        given.pop(name)
    assert check(**given).experiment in EXPERIMENTS


@pytest.mark.parametrize("line", commands("flipgrad data"))
def test_every_data_command_is_accepted(line):
    _, _, name, *words = shlex.split(line)
    with command_of("data", name).make_context(name, words) as context:
        assert context.params


@pytest.mark.parametrize("line", commands("make "))
def test_every_make_target_exists(line):
    targets = re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE)
    assert line.split()[1] in targets


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_tables_are_those_of_the_code(name):
    page = text(ROOT / "docs" / f"{name}.md")
    section = page.split("\n## Settings\n")[1].split("\n## ")[0]
    header, _, *lines = re.findall(r"^\| *(.*?) *\|$", section, re.MULTILINE)
    presets = import_module(f"flipgrad.experiments.{name}").PRESETS
    columns = [cell.strip(" `") for cell in header.split("|")]
    assert columns[1:-1] == list(presets)
    table = [[cell.strip(" `") for cell in line.split("|")] for line in lines]
    for column, preset in enumerate(presets, start=1):
        written = {row[0]: row[column] for row in table}
        assert written == {key: shown(value) for key, value in asdict(presets[preset]).items()}


def shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_your_own_data_runs_as_written(tmp_path, monkeypatch, inside):
    """Every Python and bash block of the page, in turn, in an empty folder; the last command as a shell starts it."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "own-data.md"
    names: dict[str, Any] = {}
    exec("\n".join(blocks(page, "python")), names)
    right = (names["classes"] == names["digits"].target[900:]).mean()
    assert right > 0.8  # one noisy digit in eight was read wrong before it was adapted
    assert names["better"].output_shape == names["model"].output_shape
    *lines, last = "".join(blocks(page, "bash")).splitlines()
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "flipgrad"
        done = inside(*words)
        assert done.returncode == 0, (line, done.stderr)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(shlex.split(last), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (last, done.stderr)
    assert len(pl.read_csv("paper.csv")) == 300
    assert pl.read_parquet("cells.parquet")["predicted"].null_count() > 0
    assert set(pl.read_csv("kitchen.csv")["predicted"]) == {-1, 1}


def test_the_readme_has_commands_of_that_page_for_each_kind():
    """And so they run as written, after the first block of the page."""
    run = "".join(blocks(ROOT / "docs" / "own-data.md", "bash")).splitlines()
    (block,) = (block for block in blocks(ENGLISH, "bash") if "pens" in block)
    lines = [line for line in block.splitlines() if line]
    assert [line for line in lines if line not in run] == []
    sources = [Path(line.split("--source ")[1].split()[0]) for line in lines if "--source" in line]
    assert [path.suffix for path in sources] == ["", ".csv", ".npz", ".svmlight"]


def test_the_two_readmes_have_the_same_commands_code_and_figures():
    for language in ("bash", "python"):
        assert blocks(ENGLISH, language) == blocks(CHINESE, language)
    english, chinese = (
        [link for link in LINK.findall(prose(page)) if not link.startswith("README")] for page in (ENGLISH, CHINESE)
    )
    assert sorted(set(english)) == sorted(set(chinese))
    numbers = [set(re.findall(r"\.\d{3,4}\b|@@\w+@@", prose(page))) for page in (ENGLISH, CHINESE)]
    assert numbers[0] == numbers[1]


def test_the_readme_example_runs(tmp_path, monkeypatch):
    import flipgrad as fg

    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    ys = random.integers(0, 3, 120)
    xs = (random.normal(size=(120, 4, 2)) + ys[:, None, None]).astype("float32")
    xt = xs[:100] + 0.5
    names = {"xs": xs, "ys": ys, "xt": xt}
    exec(blocks(ENGLISH, "python")[0], names)
    assert names["classes"].shape == (100,)
    assert set(names["classes"]) <= {0, 1, 2}
    loaded = fg.load("model.keras")
    np.testing.assert_array_equal(loaded.predict(xt, verbose=0).argmax(-1), names["classes"])
