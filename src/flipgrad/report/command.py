"""The command that makes such a run again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from flipgrad._comparison_groups import mapping


def command(config: Mapping[str, Any]) -> str | None:
    """The command that makes such a run again; None where the configuration does not tell."""
    experiment, settings = config.get("experiment"), mapping(config.get("settings"))
    if not isinstance(experiment, str) or not settings:
        return None
    words = ["flipgrad", "adapt"] if experiment == "adapt" else ["flipgrad", "run", experiment]
    for name in _OPTIONS["adapt" if experiment == "adapt" else "run"]:
        value = settings.get(name)
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, ",".join(map(str, value)) + ("," if name == "seeds" and len(value) == 1 else "")]
        elif value is not None and value is not False:
            words += [option, str(value)]
    if isinstance(config.get("backend"), str):
        words += ["--backend", config["backend"]]
    return shlex.join(words)


_OPTIONS = {
    "adapt": (
        "source", "target", "target_labels", "target_test", "label", "mode", "modes", "encoder", "weights", "epochs",
        "batch_size", "learning_rate", "strength", "keep", "size", "skip_bad", "seed", "seeds",
    ),
    "run": ("preset", "seeds", "modes", "steps", "batch_size", "precision"),
}  # fmt: skip
