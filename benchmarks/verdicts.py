"""Which verdicts the sick and the healthy cases of the tests get, over five seeds, beside what the target's labels say.

python benchmarks/verdicts.py --out benchmarks/results/verdicts.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "health"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="results, .json")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    import lab

    rows = []
    for name, case in lab.CASES.items():
        found = [lab.find(case, seed) for seed in range(given.seeds)]
        verdicts = Counter(verdict for each in found for verdict in each.names)
        rows.append(
            {
                "case": name,
                "must": case.verdict,
                "verdicts": dict(verdicts.most_common()),
                "source_only": [round(each.source_only, 3) for each in found],
                "adapted": [round(each.adapted, 3) for each in found],
            }
        )
        given.out.write_text(json.dumps(rows, indent=1) + "\n")
        said = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common())
        before, after = (statistics.fmean(rows[-1][key]) for key in ("source_only", "adapted"))
        print(f"| {name} | {before:.3f} | {after:.3f} | {said} |", flush=True)


if __name__ == "__main__":
    main()
