"""Every way in which a question can fail, and how its asker reads it.

    QueryError                     status, text
    ├── InvalidQuestion            400  what was asked cannot be answered: filter, sort, limit, window
    ├── ValidationFailed           422  a field is unknown, missing or of the wrong type; names each
    ├── Unauthorized               401  no key, or none that is known
    ├── Forbidden                  403  the key may not read
    ├── NotFound                   404
    ├── PayloadTooLarge            413
    ├── StoreUnavailable           503  Postgres is away; ask again
    └── QueryTimeout               504  the statement took longer than it may

The texts are those of the read API's specification, sections 1 and 2; clients compare them.
"""

RETRY_AFTER_SECONDS = 1
"""When to ask again while the store is away: Postgres restarts within seconds."""
TRACE = "isAuthenticated.error"
"""Helicone's marker of every refusal by key; its clients look for it."""


class QueryError(Exception):
    """A question that gets an error for an answer."""

    status = 500
    retriable = False

    def __init__(self, text: str | None = None) -> None:
        self.text = text if text is not None else (self.__doc__ or "")
        super().__init__(self.text)

    def envelope(self) -> dict[str, object]:
        """The answer's JSON object."""
        return {"data": None, "error": self.text}

    def headers(self) -> dict[str, str]:
        """Headers that belong to the answer."""
        return {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.retriable else {}


class InvalidQuestion(QueryError):
    """What was asked cannot be answered as it stands"""

    status = 400


class ValidationFailed(QueryError):
    """A field of the body is unknown, missing or of the wrong type"""

    status = 422

    def __init__(self, faults: dict[str, tuple[str, object]]) -> None:
        """`faults`: per field (dotted), the message and the value that was sent; never empty."""
        field, (message, _) = next(iter(faults.items()))
        super().__init__(f"Validation Failed: {field}: {message}")
        self.faults = faults

    def envelope(self) -> dict[str, object]:
        details = {
            f"requestBody.{field}": {"message": message} if value is None else {"message": message, "value": value}
            for field, (message, value) in self.faults.items()
        }
        return {**super().envelope(), "message": "Validation Failed", "details": details}


class Unauthorized(QueryError):
    """No API key found"""

    status = 401

    def envelope(self) -> dict[str, object]:
        return {**super().envelope(), "trace": TRACE}


class Forbidden(QueryError):
    """API key lacks read permission"""

    status = 403

    def envelope(self) -> dict[str, object]:
        return {**super().envelope(), "trace": TRACE}


class NotFound(QueryError):
    """Not found"""

    status = 404


class PayloadTooLarge(QueryError):
    """Payload too large"""

    status = 413


class StoreUnavailable(QueryError):
    """Store unavailable, try again"""

    status = 503
    retriable = True


class QueryTimeout(QueryError):
    """Query timeout. Try a shorter time range or simpler filters."""

    status = 504
