"""What a program with OpenInference's instrumentation of OpenAI's package does: `openinference_workflow.py`."""

from openai import NotFoundError, OpenAI
from openinference.instrumentation import using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests.acceptance.provider import REFUSED_MODEL

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
OpenAIInstrumentor().instrument(tracer_provider=provider)

with using_attributes(session_id="trip-oi", user_id="alice", metadata={"environment": "production"}, tags=["a", "b"]):
    for model in ("gpt-4o-mini", REFUSED_MODEL):
        try:
            OpenAI().chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Where to in Nürnberg?"}], temperature=0.5
            )
        except NotFoundError as fault:
            assert model == REFUSED_MODEL, fault

provider.shutdown()
