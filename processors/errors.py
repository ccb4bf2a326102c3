"""What can go wrong between a batch and its commit.

ProcessorError
├── Fenced              partitions moved on without us; read their offsets again
├── StoreAway           trouble of the database; pause, wait, try again for as long as Kafka holds the data
├── TooManyDeadLetters  the batch is given up, and its generation stopped
├── GenerationStopped   wait until a person lets it go on
├── ReplayRefused       the generations are not in the state that a command needs
└── ForeignOffsets      stored offsets belong to another log; a person decides
"""

import asyncpg

DATA_FAULT_CLASSES = ("22", "23", "54")
"""SQLSTATE classes that belong to the data: bad values, broken constraints, program limits (design: exactly once)."""


class ProcessorError(Exception):
    """Something stopped a batch."""


class Fenced(ProcessorError):
    """Partitions whose stored offset is not the expected one: another worker, or a commit of ours, moved it."""

    def __init__(self, partitions: set[int]) -> None:
        self.partitions = partitions
        super().__init__(f"partitions {sorted(partitions)} moved on without this worker")


class StoreAway(ProcessorError):
    """The database is away, refuses, or gave up on the transaction. The data is innocent."""


class TooManyDeadLetters(ProcessorError):
    """More records fail than can be the records' own fault."""

    def __init__(self, seen: int, reasons: dict[str, int]) -> None:
        self.seen = seen
        self.reasons = reasons
        """Reason -> records, the most frequent first."""
        super().__init__(f"{sum(reasons.values())} of the last {seen} records failed: {reasons}")


class GenerationStopped(ProcessorError):
    """Too many records became dead letters. Nothing is stored until `python -m processors resume`."""


class ReplayRefused(ProcessorError):
    """A replay command does not fit the generations that exist; the message says what to do. Nothing was changed."""


class ForeignOffsets(ProcessorError):
    """The stored offsets belong to another Kafka cluster or to a topic that was deleted, so they mean nothing here.

    Run `python -m processors accept-gap` to go on from the beginning of this topic.
    """

    def __init__(self, stored_log_id: str, log_id: str) -> None:
        super().__init__(f"{self.__doc__} Stored: {stored_log_id}, connected: {log_id}.")


def is_data_fault(fault: BaseException) -> bool:
    """Whether an error of a statement belongs to the data and would come again with the same data.

    A unique violation is not one: rows are compared with what is stored before they are written, so it means that
    another worker stored the same event a moment ago, and the next attempt sees that.
    """
    if isinstance(fault, asyncpg.UniqueViolationError):
        return False
    if isinstance(fault, asyncpg.CheckViolationError) and fault.constraint_name is None:
        # No constraint: the row has no partition, because its day was dropped a moment ago. The next attempt makes it.
        return False
    if isinstance(fault, asyncpg.PostgresError):
        return str(fault.sqlstate)[:2] in DATA_FAULT_CLASSES
    # asyncpg's encoder refuses a value before the server sees it: an InterfaceError that is also a ValueError.
    return isinstance(fault, (ValueError, OverflowError, TypeError, UnicodeEncodeError))


TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What a statement or a connection can raise that is not the data's fault. asyncpg's internal error is what a server
that dies in the middle of a COPY leaves behind."""
