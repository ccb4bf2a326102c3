"""`/livez`: the process answers. `/readyz`: it can answer questions, so the store is there."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from query.answers import json_response
from query.desk import Desk


def routes(desk: Desk) -> list[Route]:
    """The endpoints, asking `desk` for the store."""

    async def livez(_: Request) -> Response:
        return json_response({"status": "ok"})

    async def readyz(_: Request) -> Response:
        async with desk.sitting():
            return json_response({"status": "ok"})

    return [Route("/livez", livez), Route("/readyz", readyz)]
