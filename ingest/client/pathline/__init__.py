"""Logs what AI agents do to a Pathline server, from a thread of its own: never blocks, never raises."""

from pathline.asgi import SessionMiddleware
from pathline.client import Client
from pathline.counts import Stats
from pathline.event import EventFields
from pathline.limits import Limits
from pathline.log_handler import SessionHandler
from pathline.session import Session, Step, current_session

__all__ = [
    "Client",
    "EventFields",
    "Limits",
    "Session",
    "SessionHandler",
    "SessionMiddleware",
    "Stats",
    "Step",
    "current_session",
]
