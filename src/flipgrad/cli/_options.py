"""From the text of an option to its value; what cannot be used is refused before Keras starts."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from flipgrad.cli._errors import bad, listed, one_of

PRECISIONS = {
    "float32": "float32",
    "mixed_bfloat16": "mixed_bfloat16",
    "bfloat16": "mixed_bfloat16",
    "mixed_float16": "mixed_float16",
    "float16": "mixed_float16",
}
KEPT = ("last", "best")  # of a recipe; a test holds them equal to its own
LANGUAGES = ("en", "zh")  # of the report; a test holds them equal to its own
TRAINING = "Which of several trainings of the run, as flipgrad info names them. [default: the one that was picked]"
_MOST_SEEDS = 10_000
_SEED_END = 2**32  # what Keras takes
_COUNT_END = 2**31  # steps are counted in int32


def seeds(text: str) -> tuple[int, ...]:
    """``5`` is 0 to 4; with a comma it is a list: ``3,7``, and ``3,`` for 3 alone."""
    option, remedy = "--seeds", "give for example 5 (for 0 to 4) or 3,7"
    if "," not in text:
        count = whole(option, text, "how many seeds, 1 or more", _MOST_SEEDS + 1, remedy)
        return tuple(range(count))
    parts = text.removesuffix(",").split(",")
    expected = "seeds of 0 or more with commas between them"
    numbers = tuple(whole(option, part, expected, _SEED_END, remedy, least=0) for part in parts)
    _refuse_twice(option, text, numbers)
    return numbers


def seed(text: str) -> int:
    """A whole number of 0 or more."""
    return whole("--seed", text, "a whole number of 0 or more", _SEED_END, "give for example 1", least=0)


def modes(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """``source,dann`` as a tuple of known modes."""
    names = tuple(one_of("--modes", part.strip(), known) for part in text.split(","))
    _refuse_twice("--modes", text, names)
    return names


def count(option: str, text: str) -> int:
    """A whole number of 1 or more."""
    return whole(option, text, "a whole number of 1 or more", _COUNT_END, "give for example 64")


def whole(option: str, text: str, expected: str, end: int, remedy: str, *, least: int = 1) -> int:
    """The whole number that ``text`` says, ``least`` <= number < ``end``."""
    digits = text.strip()
    # int() takes more than a reader would: 1_0, digits of other scripts, thousands of digits.
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise bad(option, expected, text, remedy)
    if int(digits) < least:
        raise bad(option, expected, text, remedy)
    if int(digits) >= end:
        raise bad(option, f"{expected}, below {end}", text, remedy)
    return int(digits)


def precision(text: str) -> str:
    """The Keras dtype policy of that name; bfloat16 and float16 stand for the mixed policies."""
    return PRECISIONS[one_of("--precision", text, PRECISIONS)]


def existing_folder(option: str, text: str | None) -> Path | None:
    """The folder that ``text`` names; None for None."""
    if text is None:
        return None
    folder = Path(text).expanduser()
    if not text or not folder.is_dir():
        raise bad(option, "an existing folder", text, "create it or name another")
    return folder


def _refuse_twice(option: str, text: str, values: tuple[object, ...]) -> None:
    if twice := [value for value in values if values.count(value) > 1]:
        raise bad(option, "each value once", text, f"leave out the second {twice[0]}")


def positive(option: str, text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise bad(option, "a number above 0", text, "give for example 0.001")
    return value


def existing(option: str, text: str | None) -> Path:
    """The file or folder that ``text`` names."""
    path = Path(text or "").expanduser()
    if not text or not path.exists():
        raise bad(option, "an existing file or folder", text, "name one")
    return path


def probability(option: str, text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise bad(option, "a number from 0 to 1", text, "give for example 0.8")
    return value


def new_file(option: str, text: str | None, endings: Sequence[str]) -> Path:
    """The path of a file, or folder, that is not there yet and can be written; ``endings`` are those of its name."""
    if not text:
        raise bad(option, f"a new file that ends in {listed(endings)}", text, "name one")
    path = Path(text).expanduser()
    if not path.name.lower().endswith(tuple(endings)):
        raise bad(option, f"a file name that ends in {listed(endings)}", text, "rename it")
    if path.exists() or path.is_symlink():
        raise bad(option, "a new file", text, "it exists; delete it or name another")
    parent = path.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise bad(option, "a file in a folder that can be written", text, "make that folder or name another")
    return path
