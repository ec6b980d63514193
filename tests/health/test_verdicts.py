"""Every verdict on a training that was made sick on purpose, and on healthy ones that must not have it."""

import importlib.util
import sys
from pathlib import Path

import pytest

from flipgrad.health.verdicts import EXPLAINED

# The tests are no package.
_spec = importlib.util.spec_from_file_location("lab", Path(__file__).with_name("lab.py"))
lab = sys.modules["lab"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab)


@pytest.mark.parametrize("name", lab.CASES)
def test_a_case(name):
    assert not _wrong(name, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", lab.CASES)
def test_a_case_over_five_seeds(name):
    wrong = [found for seed in range(5) if (found := _wrong(name, seed))]
    # Label shift and what it does cannot always be seen without labels; docs/health.md has the counts.
    assert len(wrong) <= (1 if lab.CASES[name].verdict in ("label shift", "negative transfer suspected") else 0), wrong


def test_every_verdict_has_a_case():
    assert {case.verdict for case in lab.CASES.values()} == set(EXPLAINED)


def _wrong(name, seed):
    """What the diagnosis of a case is, where it lacks what it must say or says what it must not; else nothing."""
    case, found = lab.CASES[name], lab.find(lab.CASES[name], seed)
    right = case.verdict in found.names and not set(case.never) & set(found.names)
    return None if right else f"seed {seed}: {found.names}, {found.measures}"
