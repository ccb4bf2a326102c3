"""Logs of every stage: one JSON object a line on stderr, with time, level, stage, event and fields."""

import logging
import sys
import time
from typing import Any

import orjson
import structlog

REPEAT_INTERVAL_SECONDS = 10.0
"""A library says the same thing at most this often: while a broker is away aiokafka would say it 100 times a second."""


class OncePerInterval(logging.Filter):
    """Lets a message through once per `REPEAT_INTERVAL_SECONDS`, by its logger and its text before formatting."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is news. Remembers one time per place in the code that logs, so it stays small."""
        said = (record.name, str(record.msg) if record.args else record.pathname + str(record.lineno))
        now = time.monotonic()
        if now - self._said_at.get(said, -REPEAT_INTERVAL_SECONDS) < REPEAT_INTERVAL_SECONDS:
            return False
        self._said_at[said] = now
        return True


def configure_logging(stage: str, level: int = logging.INFO) -> None:
    """Make structlog and the libraries' own loggers write JSON lines that name the stage. Called once, first thing."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _name_stage(stage),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_to_json)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_to_json),
            ],
        )
    )
    handler.addFilter(OncePerInterval())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries tell at INFO what they do all day; what they warn of is news.
    root.setLevel(max(level, logging.WARNING))


def _name_stage(stage: str) -> structlog.types.Processor:
    def add_stage(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event["stage"] = stage
        return event

    return add_stage


def _to_json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
