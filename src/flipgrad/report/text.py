"""Text of strangers on the page: names of classes and files are shown, never obeyed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flipgrad._files import plain
from flipgrad.report.names import UNITS

# Controls, and what turns the direction of everything behind it.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ISOLATED = "\u2068{}\u2069"  # a right-to-left name does not turn its neighbours
NONE = "\u2013"  # a dash: not measured
_LONGEST = 24  # letters of a name in a figure
_LONGEST_TITLE = 40  # and of an axis


def shown(text: Any, longest: int = _LONGEST) -> str:
    """A name as Plotly draws it: short, and with no tag, entity or control character that would be obeyed."""
    clean = _UNSEEN.sub("\ufffd", str(text))
    short = clean if len(clean) <= longest else f"{clean[: longest - 1]}…"
    escaped = short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped if short.isascii() else _ISOLATED.format(escaped)


def distinct(names: Iterable[Any], longest: int = _LONGEST) -> list[str]:
    """Names as ``shown``; those that are the same when shortened are numbered."""
    taken: dict[str, int] = {}
    result = []
    for name in (shown(name, longest) for name in names):
        taken[name] = taken.get(name, 0) + 1
        result.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return result


def named(name: str, tables: Any) -> str:
    """The name of a measure, a score or a logged number, in the language of the tables."""
    bare = _bare(name)
    if bare.startswith("source_only_"):
        return str(tables.WORDS["named_source_only"].format(named(bare.removeprefix("source_only_"), tables)))
    return tables.NAMES.get(bare) or bare.replace("_", " ")


def with_unit(name: str, tables: Any) -> str:
    """``named``, as the title of an axis in Plotly: with the unit, where it is known.

    A name too long for the height of a figure, which stands above it too, gives way to its unit.
    """
    bare, words = _bare(name), tables.WORDS
    unit = UNITS.get(bare.removeprefix("source_only_"))
    text = shown(named(name, tables), _LONGEST_TITLE) if bare not in tables.NAMES else named(name, tables)
    if not unit:
        return text
    title, unit = words["with_unit"].format(text, words[f"unit_{unit}"]), words[f"unit_{unit}"]
    letters = sum(1 if letter.isascii() else 2 for letter in title)
    return str(title if letters <= _LONGEST_TITLE else unit)


def _bare(name: str) -> str:
    return name.removeprefix("health_").removeprefix("score_")


def number(value: Any) -> str:
    """A measured number with three decimals, a large one with six digits; a dash for none."""
    return _text(value, lambda each: f"{each:.3f}" if 0.001 <= abs(each) < 1000 or each == 0 else six_digits(each))


def exact(value: Any) -> str:
    """A setting as it was given."""
    return _text(value, repr)


def six_digits(value: float) -> str:
    """Without zeros at the end; as 1e+09 only what is very large or very small."""
    return f"{value:.0f}" if 1e6 <= abs(value) < 1e9 else f"{value:.6g}"


def short_number(value: float) -> str:
    """``number`` of a value of any kind, such as a year or a size: without zeros at the end."""
    return number(value).rstrip("0").rstrip(".") if 0.001 <= abs(value) < 1000 else six_digits(value)


def signed(value: float) -> str:
    """A difference, as ``number``."""
    return f"{value:+.3f}"


def percent(share: float) -> str:
    """``93 %`` of 0.93."""
    return f"{100 * share:.0f} %"


def _text(value: Any, of_float: Callable[[float], str]) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "✓", False: "✗", None: NONE}[value]
    if isinstance(value, float):
        return of_float(value) if math.isfinite(value) else NONE
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(each, of_float)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(each, of_float) for each in value)
    return str(value)


def pairs(values: Mapping[str, Any], text: Callable[[Any], str] = number) -> list[tuple[str, str]]:
    """Names and values as text."""
    return [(str(name), text(value)) for name, value in values.items()]


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(plain(value), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
