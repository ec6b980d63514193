"""The classes of a data set, by the names under which they came."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad.errors import InputError
from flipgrad.inputs._words import listed, nearest, shown

_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
_MANY = 20  # distinct labels from which on "one a row" or "fractions" means that they are no classes


@dataclass(frozen=True)
class Classes:
    """The original labels, all of one type, sorted; their places in this order are the class numbers.

    Attributes:
        values: at least two different ``int``, finite ``float``, ``str`` or ``bool``, ascending.

    Raises:
        InputError: other values.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        values = self.values
        kinds = {type(value) for value in values}
        if not isinstance(values, tuple) or len(kinds) > 1 or not kinds <= set(_TYPES.values()):
            raise InputError("classes: expected whole numbers, numbers, texts or booleans, all of one type.")
        if any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise InputError("classes: expected finite numbers, received NaN or infinity; remove those rows.")
        if len(values) < 2 or list(values) != sorted(set(values)):
            raise InputError(f"classes: expected two or more in ascending order, received {listed(values) or 'none'}.")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def type(self) -> str:
        """``"int"``, ``"float"``, ``"str"`` or ``"bool"``."""
        return type(self.values[0]).__name__

    @property
    def names(self) -> list[str]:
        """The classes as text for tables and figures: on one line, in Unicode that can be printed, no two the same."""
        names = [str(v) if str(v).isprintable() else ascii(v)[1:-1] for v in self.values]
        return names if len(set(names)) == len(names) else [ascii(v) for v in self.values]

    def encode(self, labels: Any, where: str = "labels") -> NDArray[np.int32]:
        """Class numbers of labels.

        Args:
            labels: ``(rows,)``, of the type of the classes; the text of a number does for a number.
            where: the beginning of the message about unknown ones.

        Returns:
            int32 ``(rows,)``.

        Raises:
            InputError: labels that are no class, named.
        """
        labels = labels.tolist() if hasattr(labels, "tolist") else list(labels)
        if self.type != "str":
            labels = [parsed(v, self.type) if isinstance(v, str) else v for v in labels]
        number = {value: i for i, value in enumerate(self.values)}
        try:
            return np.array([number[label] for label in labels], dtype=np.int32)
        except (KeyError, TypeError):
            pass
        unknown = list({shown(v): v for v in labels if not v.__hash__ or v not in number}.values())
        count = sum(not v.__hash__ or v not in number for v in labels)
        hint = nearest(str(unknown[0]), self.names) if len(unknown) == 1 else ""
        raise InputError(
            f"{where}: expected the classes {listed(self.values)}, received others in {count} of {len(labels)} rows: "
            f"{listed(unknown, 5)}{hint or '; correct or remove them.'}"
        )

    def decode(self, numbers: Any) -> list[Any]:
        """The original labels of class numbers.

        Args:
            numbers: whole numbers ``(rows,)`` from 0 on.

        Raises:
            InputError: a number without a class.
        """
        numbers = np.asarray(numbers)
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(self)):
            raise InputError(
                f"class numbers: expected 0 to {len(self) - 1}, received {numbers.min()} to {numbers.max()}; "
                "use those of this model."
            )
        return [self.values[number] for number in numbers.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """The classes as JSON can hold them."""
        return {"type": self.type, "values": list(self.values)}

    @classmethod
    def from_dict(cls, described: Any) -> Classes:
        """The classes that ``to_dict`` described.

        Raises:
            InputError: anything else.
        """
        if not isinstance(described, Mapping) or set(described) != {"type", "values"}:
            raise InputError("classes: expected a type and values, received another description; restore the file.")
        values = described["values"]
        if not isinstance(values, list) or described["type"] not in list(_TYPES):
            raise InputError("classes: expected a list of int, float, str or bool; restore the file.")
        if any(type(value) is not _TYPES[described["type"]] for value in values):
            raise InputError(f"classes: expected values of type {described['type']}; restore the file.")
        return cls(tuple(values))


def classes_of(labels: Iterable[Any], where: str) -> Classes:
    """The classes among the labels of the source.

    Args:
        labels: Python values of one type, none missing.
        where: the beginning of the message.

    Raises:
        InputError: one class only; labels that are measurements or names of rows rather than classes.
    """
    labels = list(labels)
    values = tuple(sorted(set(labels)))
    if len(values) < 2:
        raise InputError(
            f"{where}: expected at least two classes, received one only ({listed(values)}); "
            "there is nothing to tell apart."
        )
    fractions = isinstance(values[0], float) and any(value != math.floor(value) for value in values)
    if len(values) > _MANY and (fractions or len(values) > len(labels) / 2):
        what = "numbers with fractions" if fractions else "nearly one a row"
        raise InputError(
            f"{where}: expected classes, received {len(values)} different values in {len(labels)} rows, {what}: this "
            "is for classes, not for regression; name another column or make classes of the values."
        )
    return Classes(values)


def parsed(text: str, kind: str) -> Any:
    """The number or boolean that a text stands for; the text itself where it stands for none."""
    if kind == "bool":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    try:
        return _TYPES[kind](text)
    except ValueError:
        return text
