"""Goal: no input breaks a door or a decoder. Method: the kept inputs, and some thousand mutations of them.

`make fuzz` runs a million.
"""

import pytest

from tests.fuzz.session import SEED, corpus_of, run_chunk, run_one
from tests.fuzz.targets import TARGETS, Target

INPUTS = 500
"""For each target: some seconds in all."""


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_kept_input_breaks_a_target(target: Target) -> None:
    kept = corpus_of(target)
    assert kept
    assert [failure for text in kept if (failure := run_one(target, text))] == []


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_mutated_input_breaks_a_target(target: Target) -> None:
    assert run_chunk(target.name, SEED, INPUTS) == []


def test_what_breaks_a_target_is_found() -> None:
    def fragile(text: bytes) -> None:
        raise ZeroDivisionError

    failure = run_one(Target("fragile", fragile, "native"), b"{}")
    assert failure is not None
    assert failure.fault == "ZeroDivisionError: "
