"""Memory of training on folders of images, however many there are.

    python benchmarks/memory.py [--images 1000 20000] [--backends tensorflow jax torch]

For each number of images two folders of JPEG files of 128 x 128 pixels are made.  A process of its own reads them with
``read_domains`` and goes through one epoch of ``pair_domains`` as ``fit`` does, in batches of 64 + 64.  Written beside
this file, in ``results/memory.json``: peak memory in MiB after the imports, after reading and after the epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, CLASSES, BATCH = 128, 4, 64
RESULTS = Path(__file__).resolve().parent / "results" / "memory.json"


def make(folder: Path, images: int) -> None:
    """A source and a target of smooth noise."""
    random = np.random.default_rng(0)
    for number in range(images):
        noise = Image.fromarray(random.integers(0, 256, (16, 16, 3)).astype("uint8")).resize((SIDE, SIDE))
        for domain in ("source", "target"):
            place = folder / domain / str(number % CLASSES)
            place.mkdir(parents=True, exist_ok=True)
            noise.save(place / f"{number}.jpg", quality=90)


def peak() -> int:
    """Of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def measure(folder: Path) -> None:
    """Prints one JSON line; alone in its process."""
    import flipgrad as fg
    from flipgrad.inputs import images, read_domains

    images.IN_MEMORY = 0  # the small folder is read like the large one
    pairs = fg.data.pair_domains  # imports Keras and the backend
    result = {"imports": peak()}
    _, source, target = read_domains(folder / "source", folder / "target", size=SIDE)
    result["reading"] = peak()
    epoch = pairs((source.x, source.y), target.x, BATCH).for_backend()
    batches = (epoch[i] for i in range(len(epoch))) if hasattr(epoch, "set_epoch") else epoch
    rows = sum(len(y) for _, y in batches)
    print(json.dumps({"rows": rows, **result, "epoch": peak()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 20_000])
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        return measure(arguments.measure)
    results = []
    with tempfile.TemporaryDirectory() as place:
        for images in arguments.images:
            folder = Path(place) / str(images)
            make(folder, images)
            for backend in arguments.backends:
                command = [sys.executable, __file__, "--measure", folder]
                environment = {**os.environ, "KERAS_BACKEND": backend}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                result = json.loads(done.stdout.splitlines()[-1])
                results.append({"images": images, "backend": backend, **result})
                print(results[-1])
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
