"""What an edge is: it supplies bursts to the engine, takes verdicts, and says what time it is."""

from typing import Protocol


class EdgeError(Exception):
    """An edge cannot be opened, or broke: one line that says what is wrong and what to do."""


class Edge(Protocol):
    def run_once(self, now_ns: int) -> bool:
        """Does a bounded piece of what has arrived; False where nothing will arrive any more.

        Raises EdgeError where the edge broke.
        """

    def tick(self, now_ns: int) -> bool:
        """Runs the engine's timers up to now, and gives the verdicts they reach.

        True where there is more to do at once.
        """

    def close(self) -> None: ...


class QueueEdge(Edge, Protocol):
    """An edge of a running firewall."""

    name: str  # as --io spells it

    def fileno(self) -> int:
        """Readable when run_once has something to do."""

    def configured(self) -> None:
        """The engine has a new configuration: ports may have changed."""
