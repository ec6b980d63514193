"""Run folders made of numbers, and a real browser to look at their pages."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flipgrad import recording
from flipgrad.runs import Run

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><img src=x onerror='window.hacked=2'>",
    "\"quotes' & <b>tags</b> %{x}",
    "x" * 200,
    "🦜 parrot 👩‍👩‍👧",
    "שלום ‮gnp.exe",
]


def inputs(
    rows: int = 40, classes: list[str] | None = None, images: bool = True, labelled: bool = True
) -> recording.Inputs:
    """Rows of both domains; those of the target are as many and a half."""
    random = np.random.default_rng(0)
    names = classes or ["cat", "dog", "eel"]
    shape = (12, 12, 3) if images else (4,)
    make = (lambda n: random.integers(0, 256, (n, *shape), dtype=np.uint8)) if images else random.normal
    source_x, target_x = (
        make(n) if images else random.normal(size=(n, *shape)).astype("float32") for n in (rows, rows * 3 // 2)
    )
    ids = [f"{names[row % len(names)]}/{row}.png" for row in range(rows * 3 // 2)]
    return recording.Inputs(
        source_x,
        np.arange(rows, dtype="int32") % len(names),
        np.array(ids[:rows]),
        target_x,
        np.array(ids),
        np.array(names),
        np.arange(rows * 3 // 2, dtype="int32") % len(names) if labelled else None,
    )


def frames(of: recording.Inputs, count: int = 5, discriminator: bool = True, seed: int = 0) -> recording.Recording:
    """Features of classes that part, and of domains that meet, from frame to frame."""
    random = np.random.default_rng(seed)
    classes = len(of.classes)
    epochs = np.arange(count) * 2
    place = np.linspace(0, 1, count)[:, None, None]

    def domain(rows: int, shift: float) -> tuple[Any, Any]:
        y = np.arange(rows) % classes
        centres = random.normal(size=(classes, 6)) * 4
        noise = random.normal(size=(count, rows, 6))
        features = noise + place * centres[y] + (1 - place) * shift
        logits = random.normal(size=(count, rows, classes)) + 4 * place * np.eye(classes)[y]
        return features.astype("float32"), logits.astype("float32")

    (sf, sl), (tf, tl) = domain(len(of.source_x), -5), domain(len(of.target_x), 5)
    ramp = np.linspace(0, 1, 2 * count - 1).astype("float32")
    more = {"strength": ramp}
    if discriminator:
        more |= {"source_domain_logits": sf.mean(axis=2), "target_domain_logits": tf.mean(axis=2)}
    return recording.Recording(epochs, sf, tf, sl, tl, learning_rate=0.01 / (1 + 10 * ramp), **more)


def text_of(page: Path) -> str:
    """The page without its scripts."""
    return re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.DOTALL)


def data_of(page: Path) -> dict[str, Any]:
    """What the script of the page is given."""
    (found,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    data: dict[str, Any] = json.loads(found)
    return data


# Of a model whose domains lie near, and not near enough; the words beside it are not those of its verdict.
DIAGNOSIS = {
    "mode": "dann",
    "seed": 0,
    "verdicts": [
        {"name": HOSTILE[0], "evidence": {HOSTILE[1]: [1, None, True]}, "meaning": HOSTILE[2], "advice": HOSTILE[3]}
    ],
    "measures": {
        "finite": True, "rows": [400, 600], "source_accuracy": 0.99, "source_peak": 0.99, "largest_share": 0.4,
        "feature_spread": 0.8, "input_accuracy": 0.95, "probe_accuracy": 0.8125, "fresh_accuracy": 0.83,
        "online_accuracy": 0.66, "online_loss": 0.62, "online_spread": 0.7, "label_gradient": 0.1,
        "domain_gradient": 0.3, "strength": 0.5,
    },
}  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """``make_run(...)`` writes a finished run of the modes source and dann and returns its folder."""

    def make(
        name: str = "run",
        shown: recording.Inputs | None = None,
        health: Any = DIAGNOSIS,
        done: bool = True,
        recorded: bool = True,
    ) -> Path:
        shown = shown or inputs()
        settings = {"preset": "default", "seeds": [0], "modes": ["source", "dann"], "steps": 400}
        config = {"experiment": "digits", "settings": settings, "backend": "jax", "data": {"source_train": "ab12"}}
        with Run.create(tmp_path / name, config) as run:
            for number, mode in enumerate(("source", "dann")):
                log = {"loss": np.linspace(2, 0.1, 8), "accuracy": np.linspace(0.1, 1, 8)}
                if mode == "dann":
                    log |= {"domain_accuracy": np.linspace(1, 0.6, 8), "v_measure": np.linspace(0.1, 0.7, 8)}
                    log["health_probe_accuracy"] = [np.nan, 1.0, np.nan, 0.95, np.nan, 0.85, np.nan, 0.8125]
                run.add_history(mode, 0, log)
                accuracies = {"source_accuracy": 0.99, "target_accuracy": 0.5 + 0.25 * number, "domain_accuracy": None}
                row = {"mode": mode, "seed": 0, **accuracies, "collapsed": False, "diverged": None, "steps": 400}
                run.add_row({**row, "seconds": 1.5, **({"chosen_epoch": 6} if mode == "dann" else {})})
                if recorded:
                    movie = frames(shown, discriminator=mode == "dann", seed=number)
                    recording.write(run.observation_path(f"{mode}-0"), movie)
            if recorded:
                recording.write(run.observation_path("inputs"), shown)
            if health is not None:
                (run.path / "health.json").write_text(json.dumps([health]))
            if done:
                run.finish()
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser that is started once; where there is none the tests are skipped, or fail where CI is set."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        reason = "NO BROWSER: install chromium (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
