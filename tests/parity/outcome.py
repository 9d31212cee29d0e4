"""What becomes of a script, and what of it may differ between two ways of playing it.

Everything that is not named here has to be the same.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

Entry = dict[str, object]  # of the traffic log, by the fields' names there

# Counts packets by whether they waited, which is the edge's own affair.
_OF_THE_EDGE = "flow_parked"

# The counters of the offload engine: whether it is there is what they count.
OF_OFFLOAD = frozenset(
    {
        "session_offloaded",  # sessions that went there
        "session_pulled_back",  # and left it because somebody switched it off
        "pkt_offloaded",  # packets it forwarded, which are in pkt_sent as well
        "offload_report",  # what a device's profile makes of them
    }
)

# Fields of log entries.
OFFLOADED = frozenset({"offloaded"})  # says whether the session was in the offload engine
TIMERS = frozenset({"time_generated", "elapsed"})  # of a session that ages out: by its last report
CLOCK = frozenset({"start", "time_generated", "elapsed"})  # a queue's is real, a capture's its own
IDS = frozenset({"sessionid"})  # slots are given in turn, over all the scripts of an engine


class Outcome(NamedTuple):
    """What became of a script."""

    counters: dict[str, int]  # by how much they grew
    out: dict[str, list[bytes]]  # what left by each port, in order
    log: list[Entry]  # in no order

    def apart_from(
        self, fields: Collection[str], counters: Collection[str] = frozenset()
    ) -> "Outcome":
        """Without these fields of log entries and these counters."""
        return Outcome(
            {name: by for name, by in self.counters.items() if name not in counters},
            self.out,
            sorted(_without(self.log, fields), key=repr),
        )


def _without(log: Iterable[Entry], fields: Collection[str]) -> Iterable[Entry]:
    return ({name: value for name, value in one.items() if name not in fields} for one in log)


def moved(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: by for name, by in grown.items() if by and name != _OF_THE_EDGE}
