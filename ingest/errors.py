"""Why ingest refuses something: one small tree.

    IngestError
    ├── Unauthorized           401  no key, or one that nobody issued
    ├── Forbidden              403  the key may not write
    ├── NotFound               404  nothing is offered under the path
    ├── MethodNotAllowed       405  the path takes another method
    ├── PayloadTooLarge        413  a whole body over its limit
    ├── BodyTooSlow            408  the body did not arrive in time
    ├── UnsupportedEncoding    415  a Content-Encoding that is not read here
    ├── UnsupportedType        415  a Content-Type that is not read here
    ├── InvalidBody            400  a body that cannot be read at all
    ├── RateLimited            429  the project is over its rate
    ├── InternalError          500  a fault of ours
    ├── Overloaded             503  the in-flight bytes are exhausted; nothing was taken
    ├── KeysAway               503  this key cannot be checked now
    └── PublishError                the outcome of one event; returned, not raised
        ├── RecordTooLarge     413  larger than a record may be
        ├── NotDurable         503  neither the broker nor the spool has it
        └── SpoolFull          503  the broker is away and the spool has no room

What is wrong with one event's own content is `ingest.event.InvalidEvent` (400): the processors raise it too.
Every `code` is documented in docs/errors.md, and a test walks this tree to prove it.
"""

from collections.abc import Sequence


class IngestError(Exception):
    """Something was refused."""

    code = "ingest_error"
    status = 500
    retriable = False
    """Whether sending the same thing again may succeed."""

    def __init__(self, text: str = "") -> None:
        self.text = text or (type(self).__doc__ or "").partition("\n")[0]
        super().__init__(self.text)


class Unauthorized(IngestError):
    """No API key found"""

    code = "unauthorized"
    status = 401


class Forbidden(IngestError):
    """API key lacks write permission"""

    code = "forbidden"
    status = 403


class NotFound(IngestError):
    """invalid path"""

    code = "not_found"
    status = 404


class MethodNotAllowed(IngestError):
    """Method not allowed"""

    code = "method_not_allowed"
    status = 405

    def __init__(self, text: str = "", *, allowed: str = "POST, OPTIONS") -> None:
        super().__init__(text)
        self.allowed = allowed


class PayloadTooLarge(IngestError):
    """Payload too large"""

    code = "payload_too_large"
    status = 413


class BodyTooSlow(IngestError):
    """The body did not arrive in time, send it again"""

    code = "body_too_slow"
    status = 408
    retriable = True


class UnsupportedEncoding(IngestError):
    """Unsupported Content-Encoding"""

    code = "unsupported_encoding"
    status = 415

    def __init__(self, text: str = "", *, accepted: Sequence[str] = ("gzip",)) -> None:
        super().__init__(text or f"Unsupported Content-Encoding: send {', '.join(accepted)} or none")
        self.accepted = accepted


class UnsupportedType(IngestError):
    """Unsupported Content-Type: send application/x-protobuf or application/json"""

    code = "unsupported_type"
    status = 415


class InvalidBody(IngestError):
    """Invalid body

    `place` names the part of the body that is to blame, as a path from its root; empty: the whole.
    """

    code = "invalid_body"
    status = 400

    def __init__(self, text: str = "", *, place: str = "") -> None:
        super().__init__(text)
        self.place = place


class InternalError(IngestError):
    """Internal error

    A defect. It is logged under the `correlation_id` that its answer carries.
    """

    code = "internal_error"
    status = 500

    def __init__(self, correlation_id: str = "") -> None:
        super().__init__()
        self.correlation_id = correlation_id


class RateLimited(IngestError):
    """Too many requests, please try again later.

    Nothing of the body was taken.
    """

    code = "rate_limited"
    status = 429
    retriable = True

    def __init__(self, text: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class Overloaded(IngestError):
    """Too many events in flight, try again

    Raised before anything of the body was taken, so sending the same body again is always safe.
    """

    code = "overloaded"
    status = 503
    retriable = True

    def __init__(self, text: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class KeysAway(IngestError):
    """The API key cannot be checked right now, try again

    The database is away and this process has not seen the key before: 503 and never 401, because a client
    that reads 401 gives up.
    """

    code = "keys_away"
    status = 503
    retriable = True
    retry_after_seconds = 2


class PublishError(IngestError):
    """The event could not be published

    One of these per event is what a publisher returns instead of `None`; only its subclasses occur.
    """

    code = "publish_error"
    status = 503


class RecordTooLarge(PublishError):
    """Event too large

    Larger than a record may be, or refused by the broker for its size. It never will be accepted.
    """

    code = "event_too_large"
    status = 413


class NotDurable(PublishError):
    """Event not stored, try again

    No acknowledgement in time, and no place in the spool: it may or may not be stored. Sending it again with the same
    event id is safe.
    """

    code = "not_durable"
    status = 503
    retriable = True
    retry_after_seconds = 1


class SpoolFull(PublishError):
    """No room to keep the event, try again

    The broker is away, and the spool has reached its limit or the disk is full. It may or may not be stored: sending
    it again with the same event id is safe.
    """

    code = "spool_full"
    status = 503
    retriable = True
    retry_after_seconds = 5
