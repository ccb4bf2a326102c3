"""`/livez`: the process answers. `/readyz`: it can answer questions, so the store is there."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.health import Health
from query.answers import json_response
from query.desk import Desk
from query.errors import QueryError


def routes(desk: Desk) -> list[Route]:
    """The endpoints, asking `desk` for the store."""

    async def postgres() -> str | None:
        try:
            async with desk.sitting():
                return None
        except QueryError as fault:
            return fault.text

    health = Health()
    health.add("postgres", postgres)

    async def livez(_: Request) -> Response:
        return json_response({"status": "ok"})

    async def readyz(_: Request) -> Response:
        healthy, report = await health.report()
        return json_response(report, status=200 if healthy else 503)

    return [Route("/livez", livez), Route("/readyz", readyz)]
