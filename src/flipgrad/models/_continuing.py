"""What Keras leaves out of a saved model, and what another backend cannot take over."""

from __future__ import annotations

from typing import Any

import keras

_RANDOM = "random_"


def _random_states(model: keras.Model) -> list[Any]:
    """The states of the model's seed generators, those of dropout for example."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def save_random_states(model: keras.Model, store: Any) -> None:
    """Adds the random states to what the model saves."""
    for index, state in enumerate(_random_states(model)):
        store[f"{_RANDOM}{index}"] = state


def load_random_states(model: keras.Model, store: Any) -> dict[str, Any]:
    """Takes the random states from what was saved, where they are there, and returns the rest."""
    states = _random_states(model)
    stored = {key for key in store.keys() if key.startswith(_RANDOM)}  # noqa: SIM118  (Keras's store is no mapping)
    if stored and len(stored) != len(states):
        raise ValueError(f"Random state: expected {len(states)} seed generators, found {len(stored)} in the file.")
    for index, state in enumerate(states if stored else []):
        state.assign(store[f"{_RANDOM}{index}"])
    return {key: store[key] for key in store.keys() if key not in stored}  # noqa: SIM118


def with_backend(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """The configuration of ``compile`` for any backend, with the name of the one it was made for."""
    if not config:
        return config
    return {**config, "optimizer": _portable(config["optimizer"]), "backend": keras.backend.backend()}


def _portable(optimizer: Any) -> Any:
    """The optimizer by its public name, of which each backend makes its own; Keras writes PyTorch's own name."""
    if not isinstance(optimizer, dict):
        return optimizer
    if str(optimizer.get("module")).startswith("keras.src.backend."):
        return {**optimizer, "module": "keras.optimizers", "registered_name": None}
    inner = {name: _portable(value) for name, value in optimizer["config"].items() if name == "inner_optimizer"}
    return {**optimizer, "config": {**optimizer["config"], **inner}}


def for_this_backend(config: dict[str, Any]) -> dict[str, Any]:
    """The same without that name, and without what only the other backend can do, where it is another."""
    config = dict(config)
    if config.pop("backend", None) not in (None, keras.backend.backend()):
        # "auto" was resolved before it was saved, and PyTorch takes one step at a time.
        config |= {"jit_compile": "auto", "steps_per_execution": 1}
    return config
