"""A run over targets: seeded, so that it can be repeated, and split over processes."""

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutation import mutate
from tests.fuzz.protobuf_mutation import mutate_protobuf
from tests.fuzz.targets import TARGETS, Target

SEED = 20260101
CORPUS = Path(__file__).parent / "corpus"
CHUNK_INPUTS = 5_000
FAILURES_MAX = 5
"""Of one chunk: further ones are nearly always the same."""


@dataclass(frozen=True)
class Failure:
    """An input that broke a target, and how."""

    target: str
    fault: str
    text: bytes


def corpus_of(target: Target) -> list[bytes]:
    """The kept inputs of a target, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / target.corpus).iterdir())]


def run_one(target: Target, text: bytes) -> Failure | None:
    """What is wrong with a target, told by one input."""
    try:
        target.run(text)
    except Exception as fault:  # noqa: BLE001 - whatever a target raises is what is looked for
        return Failure(target.name, f"{type(fault).__name__}: {fault}", text)
    return None


def run_chunk(name: str, seed: int, inputs: int) -> list[Failure]:
    """Mutate the corpus of a target `inputs` times; the same seed makes the same inputs."""
    [target] = [one for one in TARGETS if one.name == name]
    chance, kept = random.Random(f"{name} {seed}"), corpus_of(target)
    failures: list[Failure] = []
    for _ in range(inputs):
        text, other = chance.choice(kept), chance.choice(kept)
        if target.syntax == "protobuf":
            failure = run_one(target, mutate_protobuf(text, other, chance))
        else:
            failure = run_one(target, mutate(text, other, target.syntax, chance))
        if failure is not None:
            failures.append(failure)
            if len(failures) == FAILURES_MAX:
                break
    return failures


def run(inputs: int, seed: int, processes: int) -> list[Failure]:
    """Spread at least so many inputs evenly over all targets."""
    chunks = -(-inputs // (len(TARGETS) * CHUNK_INPUTS))
    jobs = [(target.name, seed + number, CHUNK_INPUTS) for number in range(chunks) for target in TARGETS]
    with ProcessPoolExecutor(processes) as pool:
        return [failure for found in pool.map(run_chunk, *zip(*jobs, strict=True)) for failure in found]
