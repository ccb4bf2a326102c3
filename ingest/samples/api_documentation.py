"""A generator of API documentation: it reads the code, describes each endpoint, and checks its own examples."""

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.samples.steps import DataStep, ModelCall, Step, ToolCall, VectorSearch

AUTHOR, EDITOR = "claude-sonnet-4-5", "claude-haiku-4-5"


@dataclass(frozen=True)
class Service:
    """A service to document."""

    name: str
    endpoints: tuple[str, ...]
    busy_at: int | None = None
    """Which endpoint's first attempt the provider refuses because of its rate limit."""
    publishes: bool = True


SERVICES = (
    Service("orders", ("POST /orders", "GET /orders/{id}", "DELETE /orders/{id}"), busy_at=1),
    Service("catalogue", ("GET /products", "GET /products/{sku}")),
    Service("notifications", ("POST /subscriptions", "GET /subscriptions", "POST /messages"), publishes=False),
)


def document(service: Service) -> Iterator[Step]:
    """Find the endpoints, describe each with an example that is tried, then assemble and publish."""
    yield ToolCall(
        path="/document/discover/parse_code",
        seconds=1.9,
        tool="list_routes",
        arguments={"service": service.name},
        result={"routes": list(service.endpoints)},
    )
    yield VectorSearch(
        path="/document/discover/existing_pages",
        seconds=0.11,
        database="handbook",
        text=f"{service.name} API",
        matches=(f"api/{service.name}.md", "api/errors.md"),
    )
    for place, endpoint in enumerate(service.endpoints):
        yield from _document_endpoint(service, endpoint, busy=place == service.busy_at)
    yield ModelCall(
        path="/document/assemble/overview",
        seconds=3.0,
        model=EDITOR,
        prompt=f"Write the introduction to the API of {service.name}.",
        reply=f"The {service.name} service has {len(service.endpoints)} endpoints. All take and answer JSON.",
        context_tokens=2_100,
    )
    yield DataStep(
        path="/document/assemble/openapi",
        seconds=0.2,
        name="write_openapi",
        meta={"file": f"openapi/{service.name}.json"},
        message=f"{len(service.endpoints)} operations",
    )
    yield ToolCall(
        path="/document/publish/upload",
        seconds=1.4,
        status=200 if service.publishes else 403,
        tool="publish_site",
        arguments={"site": "developer-docs", "page": service.name},
        result={"version": 12} if service.publishes else {"status": "error", "message": "the deploy token has expired"},
    )


def _document_endpoint(service: Service, endpoint: str, *, busy: bool) -> Iterator[Step]:
    describe = f"Describe {endpoint} of {service.name}: purpose, parameters, answers, errors."
    if busy:
        yield ModelCall(
            path="/document/endpoints/describe",
            seconds=0.3,
            status=429,
            model=AUTHOR,
            prompt=describe,
            reply="This request would exceed the rate limit of your organisation.",
            context_tokens=3_300,
        )
    yield ModelCall(
        path="/document/endpoints/describe",
        seconds=5.6,
        model=AUTHOR,
        prompt=describe,
        reply=f"{endpoint} takes JSON, answers 200 with the object, and 404 when there is none.",
        context_tokens=3_300,
        cached=busy,
    )
    yield ModelCall(
        path="/document/endpoints/example",
        seconds=2.4,
        model=EDITOR,
        prompt=f"Write a curl example of {endpoint}.",
        reply=f"curl -X {endpoint.split()[0]} https://api.example.com{endpoint.split()[1]}",
        context_tokens=600,
    )
    yield ToolCall(
        path="/document/endpoints/try_example",
        seconds=0.4,
        tool="http_request",
        arguments={"operation": endpoint, "target": "staging"},
        result={"answered": 200, "bytes": 512},
    )
