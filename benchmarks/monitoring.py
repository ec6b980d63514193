"""What looking after a training costs: the health checks and the back-off on MNIST -> MNIST-M, and the page.

    python benchmarks/monitoring.py --data FOLDER --out benchmarks/results/monitoring.json

Counted are the health checks and the back-off, and apart from them the recording of frames for the page.  The number of
looks does not depend on the length of a training, so a short one is timed with and without them, and their seconds are
held against the time that the preset's steps would take.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STEPS = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FLIPGRAD_DATA"), help="the folder of MNIST")
    parser.add_argument("--out", type=Path, help="results, .json")
    given = parser.parse_args()
    from flipgrad import recording, training
    from flipgrad.experiments import mnist
    from flipgrad.report import write

    preset = mnist.PRESETS["seed"]
    settings = replace(preset, modes=("source", "dann"), steps=STEPS)
    seconds = {}
    recorders = []

    class Noted(recording.Recorder):
        """Remembered, for its seconds are not those of the training."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            recorders.append(self)

    recording.Recorder = Noted
    with tempfile.TemporaryDirectory() as folder:
        # The second run is without any rows to look at.
        for name, sample in (("watched", recording.sample), ("alone", lambda *rows, **options: None)):
            mnist.recording.sample = sample
            rows = mnist.run(settings, Path(folder) / name, data_dir=given.data, reporter=training.Reporter())
            seconds[name] = next(row["seconds"] for row in rows if row["mode"] == "dann")
        began = time.perf_counter()
        page = write(Path(folder) / "watched")
        report = time.perf_counter() - began
        megabytes = page.stat().st_size / 2**20
    whole = seconds["alone"] * preset.steps / STEPS
    found = {
        "steps": STEPS,
        "seconds": seconds,
        "monitoring_seconds": round(seconds["watched"] - seconds["alone"], 1),
        "training_seconds": round(whole, 1),
        "recording_seconds": round(recorders[-1].seconds, 1),
        "share": round((seconds["watched"] - seconds["alone"]) / whole, 4),
        "report_seconds": round(report, 1),
        "report_megabytes": round(megabytes, 2),
    }
    print(json.dumps(found, indent=1))
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
