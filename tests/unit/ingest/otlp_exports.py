"""Exports of spans and logs for the doors' tests, sent in either encoding, and their answers read back."""

import json
from typing import Any

import httpx
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from ingest.event import Record
from ingest.otlp_json import read_logs, read_traces
from tests.unit.ingest.doors import Doors

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ENCODINGS = (PROTOBUF, JSON)
START_NS = 1_767_225_600_000_000_000
TRACE_ID = "5b8efff798038103d269b633813fc60c"


def make_span(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A good span as JSON; `None` removes a member."""
    span = {
        "traceId": TRACE_ID,
        "spanId": f"eee19b7ec3c1{number:04x}",
        "name": "chat gpt-4o-mini",
        "kind": 3,
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 1_000_000_000),
    }
    return {name: value for name, value in {**span, **changes}.items() if value is not None}


def attributes(**values: Any) -> list[dict[str, Any]]:
    """Attributes; `__` in a name stands for a dot. A value is a text or a whole `AnyValue`."""
    return [
        {"key": name.replace("__", "."), "value": value if isinstance(value, dict) else {"stringValue": value}}
        for name, value in values.items()
    ]


def make_export(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": attributes(service__name="travel")}
    scope = {"name": "demo", "version": "1"}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": list(spans)}]}]}


def make_logs(*records: dict[str, Any]) -> dict[str, Any]:
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}


async def send(
    doors: Doors, export: dict[str, Any] | bytes, encoding: str = JSON, path: str = "/v1/traces", **headers: str
) -> httpx.Response:
    """Post an export, given as JSON or as its bytes."""
    body = export if isinstance(export, bytes) else json.dumps(export).encode()
    if encoding == PROTOBUF and not isinstance(export, bytes):
        body = (read_logs(body) if path == "/v1/logs" else read_traces(body)).SerializeToString()
    return await doors.client.post(path, content=body, headers={"Content-Type": encoding, **headers})


def partial_success(answer: httpx.Response) -> tuple[int, str] | None:
    """What was refused and why; None: all was taken."""
    assert answer.status_code == 200
    if answer.headers["content-type"] == JSON:
        said = answer.json()
        if said == {}:
            return None
        count = said["partialSuccess"].get("rejectedSpans") or said["partialSuccess"]["rejectedLogRecords"]
        assert isinstance(count, str)
        return int(count), said["partialSuccess"]["errorMessage"]
    assert answer.headers["content-type"] == PROTOBUF
    if answer.content == b"":
        return None
    if answer.request.url.path == "/v1/logs":
        of_logs = logs.ExportLogsServiceResponse.FromString(answer.content).partial_success
        return of_logs.rejected_log_records, of_logs.error_message
    of_spans = traces.ExportTraceServiceResponse.FromString(answer.content).partial_success
    return of_spans.rejected_spans, of_spans.error_message


def status_of(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Code, message and place of a `google.rpc.Status`."""
    if answer.headers["content-type"] == JSON:
        said = answer.json()
        assert set(said) == {"code", "message", "details"}
        place = said["details"][0]["fieldViolations"][0]["field"] if said["details"] else None
        return said["code"], said["message"], place
    assert answer.headers["content-type"] == PROTOBUF
    status = status_pb2.Status.FromString(answer.content)
    if not status.details:
        return status.code, status.message, None
    detail = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(detail)
    return status.code, status.message, detail.field_violations[0].field


def message_of(record: Record) -> TracesData:
    """The span of a record with its scope and resource."""
    return TracesData.FromString(bytes(record.content))
