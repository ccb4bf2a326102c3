"""What is consumed: the topics, and how their records are read and stored."""

from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from infra.projects import SettingsBook
from infra.settings import KafkaSettings
from processors.alerts import NO_RULES, AlertRules
from processors.batch import EventReader, Reader
from processors.settings import ProcessorSettings
from processors.span_store import SpanStore
from processors.spans import SpanReader
from processors.store import Store


@dataclass(frozen=True)
class Stream:
    """A topic that the worker consumes, in a group of its own, and how its records are read and stored."""

    topic: str
    group_id: str
    open: Callable[[asyncpg.Pool, int | None], tuple[Store, Reader]]
    """Over a pool; the number is of the generation that a replay builds, None for a worker."""


def streams(kafka: KafkaSettings, settings: ProcessorSettings) -> list[Stream]:
    """Everything that a worker consumes."""

    def rules_of(pool: asyncpg.Pool, building: int | None) -> AlertRules:
        """A replay fires nothing."""
        return AlertRules(pool) if building is None else NO_RULES

    return [
        Stream(
            kafka.events_topic,
            settings.group_id,
            lambda pool, building: (Store(pool, rules_of(pool, building), building), EventReader()),
        ),
        Stream(
            kafka.spans_topic,
            settings.spans_group_id,
            lambda pool, building: (
                SpanStore(pool, rules_of(pool, building), building),
                SpanReader(SettingsBook(pool)),
            ),
        ),
    ]
