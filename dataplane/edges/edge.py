"""What an edge is: it supplies bursts and takes verdicts."""

from typing import Protocol

from dataplane.engine import Engine
from native import Verdict


class EdgeError(Exception):
    """An edge cannot be opened: one line that says what is missing and what to do."""


class Edge(Protocol):
    def run_once(self, engine: Engine, now_ns: int) -> bool:
        """Takes what has arrived, at most a bounded burst, and gives the verdicts.

        False where the edge has come to its end; a queue never does.
        """

    def settle(self, engine: Engine, verdicts: list[Verdict]) -> None:
        """Gives verdicts reached without new packets, by a timer."""

    def close(self) -> None: ...
