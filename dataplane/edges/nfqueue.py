"""NFQUEUE through the engine's own loop: Python sees only what has to be decided.

The loop runs in a thread of its own, without the GIL, and forwards the packets of known sessions
whatever Python is doing. Its bell says that packets wait for the slowpath; answers wake it to send
their verdicts.
"""

import threading

from dataplane.edges.edge import EdgeError
from dataplane.edges.ports import by_index
from dataplane.edges.queue_counters import QueueCounters
from dataplane.engine import Engine
from native import Nfqueue, NfqueueError


class NfqueueEdge:
    """Raises EdgeError where the queue cannot be had."""

    name = "native"

    def __init__(self, queue_number: int, engine: Engine) -> None:
        self._engine = engine
        self._counters = QueueCounters(queue_number, engine.native)
        self._failure: NfqueueError | None = None
        try:
            self._queue = Nfqueue(queue_number, engine.native)
        except NfqueueError as error:
            raise EdgeError(f"queue {queue_number}: {error}") from error
        self._thread = threading.Thread(target=self._run, name="nfqueue", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._queue.run()
        except NfqueueError as error:
            self._failure = error

    def fileno(self) -> int:
        return self._queue.fileno()

    def configured(self) -> None:
        self._find_ports()
        try:
            self._queue.set_fail_open(self._engine.snapshot.fail_open)
        except NfqueueError as error:
            raise EdgeError(f"the queue broke: {error}") from error

    def _find_ports(self) -> None:
        snapshot = self._engine.snapshot
        elsewhere = {router.name for router in snapshot.virtual_routers[1:]}
        own_table = {
            self._engine.port_number(port.name): port.virtual_router in elsewhere
            for port in snapshot.ports
        }
        ports = by_index(self._engine, snapshot.ports)
        self._queue.set_ports([(index, port, own_table[port]) for index, port in ports.items()])

    def run_once(self, now_ns: int) -> bool:
        self._queue.hear()
        self._engine.decide_waiting()
        self._queue.wake()  # sends the answers, and rings again where packets still wait
        self._check()
        return True

    def tick(self, now_ns: int) -> bool:
        has_more = self._engine.advance(now_ns)
        self._queue.wake()
        if self._counters.is_due(now_ns):
            self._find_ports()
            stats = self._queue.stats()
            self._counters.update(
                {
                    "nfq_malformed": stats.malformed,
                    "nfq_refused": stats.refused,
                    "nfq_cut": stats.cut,
                    "nfq_send_fail": stats.send_failed,
                    "nfq_emit_fail": stats.emit_failed,
                }
            )
        self._check()
        return has_more

    def _check(self) -> None:
        if self._failure is not None:
            raise EdgeError(f"the queue broke: {self._failure}")

    def close(self) -> None:
        self._queue.stop()
        self._thread.join()
        self._queue.close()
