"""Stages as processes of their own, so that a test can kill them as a machine would."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parent.parent


class Stage:
    """`python -m <module>` with settings in its environment; its output goes to a file in `folder`.

    Leaving the context kills what still runs.
    """

    def __init__(self, module: str, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        self._argv = [sys.executable, "-m", module, *arguments]
        self._log = folder / f"{module}.log"
        self._environment = {**os.environ, "PATHLINE_HOME": str(folder / "home"), **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process as it was last started."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def output(self) -> str:
        """Everything that it printed so far, over all its lives."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it; returns at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(5)

    def terminate(self, *, within_seconds: float) -> int:
        """SIGTERM; the exit code. Fails when it takes longer."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.kill()
        if fault is not None:
            sys.stderr.write(f"--- {self._log.name}, last lines\n" + "\n".join(self.output.splitlines()[-40:]) + "\n")
