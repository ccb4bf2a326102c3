"""Logs of every stage: one JSON object a line on stderr, with time, level, stage, event and fields."""

import logging
import sys
from typing import Any

import orjson
import structlog


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
