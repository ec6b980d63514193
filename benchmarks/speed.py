"""Our speed, beside that of a yardstick: the same training as a static graph fed from Python.

    python benchmarks/speed.py [--rounds 3] [--backends all] [--yardstick PATH] [--data FOLDER]

Every measurement runs alone in its own process, and the ones that are compared run in turn, round
by round, so that a slow minute of the machine falls on all of them.  A figure is the median over
the rounds.

The yardstick is a script that takes ``mnist`` or ``blobs`` and ``--steps N --data FOLDER`` and
prints a JSON line with ``ms_per_step``.  Without one, only our own times are measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from measure import Case

HERE = Path(__file__).resolve().parent
BESIDE = HERE.parents[1] / "shared" / "bench" / "seed_graph.py"


@dataclass(frozen=True)
class Settings:
    """The options; each is a flag of the same name."""

    rounds: int = 3  # of the comparisons
    mnist_steps: int = 300
    blobs_steps: int = 10_000
    other_steps: int = 60  # of the paper's step and of the other backends, measured once
    backends: str = "tensorflow"  # or "all": also JAX and PyTorch
    yardstick: str = os.environ.get("FLIPGRAD_YARDSTICK", "")  # the script; default: the one beside
    data: str = os.environ.get("FLIPGRAD_DATA", "")  # the folder of the data files
    out: str = ""  # a JSON file with every time


@dataclass(frozen=True)
class Entry:
    """A line of the table: a case of ours, or the yardstick where ``case`` is None."""

    name: str
    workload: str
    case: Case | None


def main() -> None:
    settings = parsed()
    yardstick = Path(settings.yardstick) if settings.yardstick else BESIDE
    data = data_folder(settings, yardstick)
    if not yardstick.is_file():
        print(f"No yardstick at {yardstick.name}: only our own times are measured.", file=sys.stderr)
    results = []
    for entries, rounds in plan(settings, data):
        kept = [e for e in entries if e.case or yardstick.is_file()]
        results += measured(kept, rounds, settings, yardstick, data)
    load = own(Case("load", data=data))
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "settings": {"rounds": settings.rounds},
        "results": results,
        "ratios": ratios(results),
        "official_mnist_m": {key: round(value, 2) for key, value in load.items()},
    }
    print(table(report))
    if settings.out:
        Path(settings.out).parent.mkdir(parents=True, exist_ok=True)
        Path(settings.out).write_text(json.dumps(report, indent=1) + "\n")


def parsed() -> Settings:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Settings):
        kind = type(field.default)
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=field.default, help=f"default: {field.default!r}")
    settings = Settings(**vars(parser.parse_args()))
    if settings.backends not in ("tensorflow", "all"):
        parser.error("--backends: expected tensorflow or all")
    if settings.yardstick and not Path(settings.yardstick).is_file():
        parser.error(f"--yardstick: no file {settings.yardstick}")
    if min(settings.rounds, settings.mnist_steps, settings.blobs_steps, settings.other_steps) < 1:
        parser.error("rounds and steps: expected 1 or more")
    return settings


def data_folder(settings: Settings, yardstick: Path) -> str | None:
    """The given folder, or the yardstick's; None for where ``flipgrad.data`` looks by itself."""
    beside = yardstick.parent.parent / "data"
    return settings.data or (str(beside) if beside.is_dir() else None)


def plan(settings: Settings, data: str | None) -> list[tuple[list[Entry], int]]:
    """Groups of entries that run in turn, each with its number of rounds."""
    mnist = Case("mnist", steps=settings.mnist_steps, data=data)
    blobs = Case("blobs", steps=settings.blobs_steps, epochs=20)
    once = replace(mnist, steps=settings.other_steps)
    compared = [
        Entry("yardstick", "mnist", None),
        Entry("DANN", "mnist", mnist),
        Entry("source only", "mnist", replace(mnist, mode="source")),
        Entry("DANN, bfloat16", "mnist", replace(mnist, precision="mixed_bfloat16")),
    ]
    toy = [Entry("yardstick", "blobs", None), Entry("DANN", "blobs", blobs)]
    single = [Entry("DANN", "paper", replace(once, workload="paper"))]
    if settings.backends == "all":
        for name, backend in (("JAX", "jax"), ("PyTorch", "torch")):
            single.append(Entry(f"DANN on {name}", "mnist", replace(once, backend=backend)))
    return [(compared, settings.rounds), (toy, settings.rounds), (single, 1)]


def measured(
    entries: list[Entry], rounds: int, settings: Settings, yardstick: Path, data: str | None
) -> list[dict[str, Any]]:
    """One result per entry, with its times in the order of the rounds."""
    times: dict[Entry, list[float]] = {entry: [] for entry in entries}
    described: dict[Entry, dict[str, Any]] = {}
    for number in range(rounds):
        for entry in entries:
            if entry.case:
                answer = own(entry.case)
            else:
                steps = settings.mnist_steps if entry.workload == "mnist" else settings.blobs_steps
                answer = graph(yardstick, entry.workload, steps, data)
            times[entry].append(answer.pop("ms_per_step"))
            described[entry] = answer
            shown = f"{entry.workload}, {entry.name}: {times[entry][-1]:.3f} ms per step"
            print(f"round {number + 1} of {rounds}: {shown}", file=sys.stderr)
    return [
        {
            "workload": entry.workload,
            "name": entry.name,
            "ms_per_step": round(statistics.median(times[entry]), 4),
            **described[entry],
            "rounds": [round(t, 4) for t in times[entry]],
        }
        for entry in entries
    ]


def own(case: Case) -> dict[str, Any]:
    return last_line([str(HERE / "measure.py"), json.dumps(asdict(case))])


def graph(script: Path, workload: str, steps: int, data: str | None) -> dict[str, Any]:
    where = ["--data", data] if data else []
    answer = last_line([str(script), workload, "--steps", str(steps), *where])
    half = answer["batch"] // 2
    return {**answer, "batch": f"{half} + {half}", "precision": "float32", "backend": "tensorflow"}


def last_line(arguments: list[str]) -> dict[str, Any]:
    """Runs a script alone and returns the JSON object that it prints last."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{Path(arguments[0]).name} {' '.join(arguments[1:])} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    answer.pop("workload", None)
    return answer


def ratios(results: list[dict[str, Any]]) -> dict[str, float]:
    """Ratios of medians; above 1 the first is slower."""
    medians = {(r["workload"], r["name"]): r["ms_per_step"] for r in results}
    wanted = [
        ("mnist", "DANN", "yardstick"),
        ("blobs", "DANN", "yardstick"),
        ("mnist", "DANN", "source only"),
        ("mnist", "DANN, bfloat16", "DANN"),
        ("mnist", "DANN, bfloat16", "yardstick"),
    ]
    return {
        f"{workload}: {a} / {b}": round(medians[workload, a] / medians[workload, b], 3)
        for workload, a, b in wanted
        if {(workload, a), (workload, b)} <= medians.keys()
    }


def machine() -> dict[str, Any]:
    """What the times depend on, and nothing that tells whose machine it is."""
    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in facts.splitlines() if ":" in line)
    keys = {key.strip(): value.strip() for key, value in lines.items()}
    flags = keys.get("flags", "").split()
    return {
        "cpu": keys.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "bfloat16_units": [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags],
        "system": platform.system(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    names = ("flipgrad", "keras", "tensorflow", "jax", "torch", "numpy")
    return {name: installed[name].split("+")[0] for name in names if name in installed}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    columns = ("batch", "precision", "backend", "jit_compile", "steps_per_execution", "steps")
    header = ["workload", "what", "ms per step", "min to max", *columns]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for result in report["results"]:
        span = f"{min(result['rounds']):.3f} to {max(result['rounds']):.3f}"
        cells = [result["workload"], result["name"], f"{result['ms_per_step']:.3f}", span]
        lines.append(f"| {' | '.join(cells + [str(result.get(c, '-')) for c in columns])} |")
    lines += ["", "| ratio of medians | |", "|---|---|"]
    lines += [f"| {name} | {ratio:.3f} |" for name, ratio in report["ratios"].items()]
    load, here = report["official_mnist_m"], report["machine"]
    units = ", ".join(here["bfloat16_units"]) or "none"
    amx = "with" if "amx_bf16" in here["bfloat16_units"] else "without"
    built = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return "\n".join(
        [
            *lines,
            "",
            f"Official MNIST-M: {load['seconds']:.1f} s, peak memory {load['peak_mb']:.0f} MB "
            f"(of which {load['images_mb']:.0f} MB are the images).",
            f"Machine: {here['cpu']}, {here['cores']} cores, {amx} AMX (bfloat16 units: {units}).",
            f"Versions: {built}, Python {here['python']}.",
        ]
    )


if __name__ == "__main__":
    main()
