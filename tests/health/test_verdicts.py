"""Every verdict on a training that was made sick on purpose, and on healthy ones that must not have it."""

import importlib.util
from pathlib import Path

import pytest

# No package: tests are imported by path.
_spec = importlib.util.spec_from_file_location("lab", Path(__file__).with_name("lab.py"))
lab = importlib.util.module_from_spec(_spec)
import sys  # noqa: E402

sys.modules["lab"] = lab  # dataclasses look their module up
_spec.loader.exec_module(lab)

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3, 4))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", lab.CASES)
def test_case(name, seed):
    case = lab.CASES[name]
    found = lab.find(case, seed)
    assert case.verdict in found.names, (found.names, found.measures)
    assert not set(case.never) & set(found.names), (found.names, found.measures)


def test_every_verdict_has_a_case():
    from flipgrad.health.verdicts import EXPLAINED

    assert {case.verdict for case in lab.CASES.values()} == set(EXPLAINED)
