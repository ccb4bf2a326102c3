"""What a traced agent does: `opentelemetry_workflow.py`, the exporter's address and headers in the environment.

Each span is an export of its own, sent when it ends, so children arrive before their parents.
"""

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

provider = TracerProvider(resource=Resource.create({"service.name": "travel", "deployment.environment.name": "prod"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(compression=Compression.Gzip)))
tracer = provider.get_tracer("trip")

AGENT = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "planner",
    "session.id": "trip-otel",
    "user.id": "alice",
    "Helicone-Session-Name": "Trip",
    "Helicone-Property-Tier": "pro",
}
CHAT: dict[str, str | int] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 5,
    "gen_ai.usage.output_tokens": 7,
    "gen_ai.usage.reasoning.output_tokens": 3,
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "Where to?"}]}]',
    "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "Nürnberg"}]}]',
}


def tool(name: str) -> dict[str, str]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.arguments": '{"city": "Nürnberg"}',
        "gen_ai.tool.call.result": '{"temperature": 18.5}',
    }


with tracer.start_as_current_span("invoke_agent planner", attributes=AGENT):
    with tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=CHAT):
        pass
    with tracer.start_as_current_span("execute_tool weather", attributes=tool("weather")):
        pass
    with (
        tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"http.request.method": "GET"}),
        tracer.start_as_current_span("execute_tool search", attributes=tool("search")) as span,
    ):
        span.set_attribute("error.type", "TimeoutError")
        span.set_status(Status(StatusCode.ERROR, "no answer within 30 s"))
    try:
        with tracer.start_as_current_span("execute_tool book", attributes=tool("book")):
            raise ValueError("sold out")
    except ValueError:
        pass

provider.shutdown()
