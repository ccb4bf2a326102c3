"""Records of Python's logging as events of the current session."""

import logging

from pathline.client import Client
from pathline.event import EventFields, Fault
from pathline.session import fault_of

OWN_LOGGER = "pathline"
"""What the client itself says; sending that would make it say more."""


class SessionHandler(logging.Handler):
    """Logs each record as an event of kind `data`, named for its logger; errors are events with an error."""

    def __init__(self, client: Client, level: int | str = logging.NOTSET) -> None:
        """Records below the level are left alone."""
        super().__init__(level)
        self._client = client

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record. A record whose message cannot be put together is handled as logging does."""
        if record.name == OWN_LOGGER or record.name.startswith(OWN_LOGGER + "."):
            return
        try:
            message = self.format(record) if self.formatter else record.getMessage()
        except Exception:  # noqa: BLE001 - what a record's arguments raise is unknown
            self.handleError(record)
            return
        error = self._error(record, message)
        fields: EventFields = {
            "kind": "data",
            "name": record.name[:256] or "root",
            "started_at": record.created,
            "properties": {"level": record.levelname, "logger": record.name[:256], "line": record.lineno},
            "request": {"message": message},
        }
        if error := self._error(record, message):
            fields["error"] = error
        self._client.log(**fields)

    def _error(self, record: logging.LogRecord, message: str) -> Fault | None:
        if record.exc_info and record.exc_info[1] is not None:
            return fault_of(record.exc_info[1])
        return {"type": record.levelname, "message": message[:8_192]} if record.levelno >= logging.ERROR else None
