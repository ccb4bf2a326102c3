"""OpenTelemetry spans: from a span's record to `Span` (otlp.md). Pure.

The tables of the specification are data, in `field_tables`, `kind_tables`, `model_tables`, `usage_tables` and
`body_tables`; the modules beside them apply them.
"""

from ingest.decode.otlp.decoder import SOURCE, decode_span
from ingest.decode.otlp.fields import ResourceFields, door_facts, door_fields, resource_fields
from ingest.decode.otlp.identity import check_span, span_event_id
from ingest.decode.otlp.paths import derived_path
from ingest.decode.otlp.spans import Fields, Span

__all__ = [
    "SOURCE",
    "Fields",
    "ResourceFields",
    "Span",
    "check_span",
    "decode_span",
    "derived_path",
    "door_facts",
    "door_fields",
    "resource_fields",
    "span_event_id",
]
