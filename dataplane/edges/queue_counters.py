"""What the kernel's queue and its loop have counted, as global counters."""

from pathlib import Path

from native import Engine

_PROC = Path("/proc/self/net/netfilter/nfnetlink_queue")
_PERIOD_NS = 1_000_000_000
_KERNEL_COUNTERS_END = 1 << 32  # they begin anew after four thousand million


class QueueCounters:
    """Brings counters that only grow elsewhere into the engine's, once a second."""

    def __init__(self, queue_number: int, engine: Engine) -> None:
        self._queue_number = queue_number
        self._engine = engine
        self._seen: dict[str, int] = {}
        self._due_ns = 0

    def is_due(self, now_ns: int) -> bool:
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + _PERIOD_NS
        return True

    def update(self, values: dict[str, int]) -> None:
        """Counts by which the values, by counter name, have grown since the last time."""
        for name, value in {**values, **self._kernel()}.items():
            if grown := (value - self._seen.get(name, 0)) % _KERNEL_COUNTERS_END:
                self._engine.count(name, grown)
                self._seen[name] = value

    def _kernel(self) -> dict[str, int]:
        """Columns 6 and 7 of the queues' lines: dropped as the queue, or the socket, was full."""
        try:
            lines = _PROC.read_text().splitlines()
        except OSError:  # /proc is not there in every sandbox; the packets flow all the same
            return {}
        queues = {str(self._queue_number), str(self._queue_number + 1)}
        ours = [fields for fields in map(str.split, lines) if fields and fields[0] in queues]
        if not ours:
            return {}
        return {
            "nfq_queue_full": sum(int(fields[5]) for fields in ours),
            "nfq_socket_full": sum(int(fields[6]) for fields in ours),
        }
