"""What can keep a local engine from starting; every message is one line that names the remedy."""


class LocalEngineError(Exception):
    """A local engine cannot start; the message says what is wrong and what to do about it."""


class PortTakenError(LocalEngineError):
    """Another process listens on the port that an engine or a service wants."""

    def __init__(self, port: int, owner: str, setting: str) -> None:
        super().__init__(f"port {port} is taken by {owner}: stop it, or set {setting} to another port")
        self.port = port


class DiskFullError(LocalEngineError):
    """The disk that holds PATHLINE_HOME has no room for an engine."""


class AlreadyRunningError(LocalEngineError):
    """Another supervisor owns this PATHLINE_HOME."""
