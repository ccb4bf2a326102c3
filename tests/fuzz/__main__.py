"""`python -m tests.fuzz [INPUTS] [SEED]`: a million mutated inputs over every target; what breaks one is printed."""

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

from tests.fuzz.session import SEED, run
from tests.fuzz.targets import TARGETS


def main() -> int:
    """0 when nothing broke. What broke something lies in .fuzz/ then: it belongs into corpus/ with the fix."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("inputs", nargs="?", type=int, default=1_000_000)
    parser.add_argument("seed", nargs="?", type=int, default=SEED)
    asked = parser.parse_args()
    processes = os.cpu_count() or 1
    names = ", ".join(target.name for target in TARGETS)
    print(f"{asked.inputs:,} inputs, seed {asked.seed}, {processes} processes: {names}", flush=True)
    began = time.monotonic()
    failures = run(asked.inputs, asked.seed, processes)
    for failure in failures:
        place = Path(".fuzz") / f"{failure.target}-{hashlib.sha256(failure.text).hexdigest()[:12]}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(failure.text)
        print(f"{failure.target}: {failure.fault}\n  {place}")
    print(f"{len(failures)} broke something, {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
