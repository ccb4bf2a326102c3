"""Goal: clients that say nothing are let go, others kept. Method: connections made by hand, times given."""

from dataclasses import dataclass, field
from typing import Any

from ingest.connections import SilentConnections, Transport


@dataclass
class Closing:
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Cycle:
    response_complete: bool


@dataclass(eq=False)
class Client:
    scope: Any = None
    cycle: Any = None
    timeout_keep_alive_task: Any = None
    transport: Transport = field(default_factory=Closing)


def test_who_never_said_anything_has_the_idle_time_and_who_began_a_head_the_shorter_one() -> None:
    silent = SilentConnections(head_seconds_max=10, idle_seconds_max=75)
    mute, slow, again = Client(), Client(scope={}), Client(scope={}, cycle=Cycle(response_complete=True))
    clients = [mute, slow, again]
    assert silent.close_overdue(clients, 100) == silent.close_overdue(clients, 109) == 0
    assert silent.close_overdue(clients, 110) == 2
    assert [client.transport for client in clients] == [Closing(closed) for closed in (False, True, True)]
    assert silent.close_overdue([mute], 175) == 1


def test_who_is_answered_or_watched_by_the_server_itself_is_kept() -> None:
    silent = SilentConnections(head_seconds_max=10, idle_seconds_max=75)
    answered = Client(scope={}, cycle=Cycle(response_complete=False))
    between = Client(scope={}, cycle=Cycle(response_complete=True), timeout_keep_alive_task=object())
    for now in range(0, 500, 5):
        assert silent.close_overdue([answered, between], now) == 0


def test_another_request_has_its_own_time() -> None:
    silent = SilentConnections(head_seconds_max=10, idle_seconds_max=75)
    busy = Client()
    for now in range(0, 500, 5):
        busy.scope = object()
        assert silent.close_overdue([busy], now) == 0
