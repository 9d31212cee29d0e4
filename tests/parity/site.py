"""A dataplane process on a real queue, and the wires at its ports."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from dataplane import messages
from dataplane.snapshot import Snapshot
from native import COUNTERS
from tests.parity.outcome import Entry, Outcome, moved
from tests.parity.scripts import LAST, LAST_PAYLOAD, LAST_PORT, Script, Sent
from tests.parity.translations import Ports
from tests.parity.ways import USUAL, Way
from tests.support.packets import UNTRUST, routes
from tests.support.wires import QUEUE, Wire, receive_wires
from vm.namespaces import environment
from vm.waiting import wait_until

_READY_WITHIN_S = 30
_DECIDED_WITHIN_S = 20
_POLL_S = 0.002
_PEERCRED = struct.Struct("3i")
_DROPS = [info.name for info in COUNTERS if info.severity == "drop"]
_OF_LAST = dict.fromkeys(
    ("pkt_recv", "pkt_sent", "flow_undecided", "session_allocated", "session_installed"), 1
)
_ENDS = ("pkt_sent", "flow_host_pass", *_DROPS)  # what can become of a packet that was received


class Dataplane:
    """What the management plane says to a dataplane process, and hears from it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_READY_WITHIN_S)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._decoder = msgspec.msgpack.Decoder(messages.Reply)
        peer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
        self.pid = _PEERCRED.unpack(peer)[0]  # as it is seen from here

    def ask(self, request: messages.Request) -> messages.Reply:
        body = msgspec.msgpack.encode(request)
        self._socket.sendall(struct.pack("!I", len(body)) + body)
        (length,) = struct.unpack("!I", self._exactly(4))
        reply: messages.Reply = self._decoder.decode(self._exactly(length))
        return reply

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            got = self._socket.recv(size - len(data))
            assert got, "the dataplane is gone"
            data += got
        return data

    def configure(self, snapshot: Snapshot) -> None:
        assert self.ask(messages.Configure(snapshot)) == messages.Done()

    def set_offload(self, enabled: bool) -> None:
        assert self.ask(messages.SetOffload(enabled)) == messages.Done()

    def counters(self) -> dict[str, int]:
        reply = self.ask(messages.GetCounters())
        assert isinstance(reply, messages.Counters)
        return {counter.name: counter.value for counter in reply.counters}

    def fragments(self) -> int:
        """That are held until others come."""
        reply = self.ask(messages.GetStatus())
        assert isinstance(reply, messages.Status)
        return reply.fragments

    def clear_sessions(self) -> None:
        cursor = -1
        while cursor:
            reply = self.ask(messages.ClearSessions(max(cursor, 0)))
            assert isinstance(reply, messages.Done)
            cursor = reply.cursor

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """While none of its threads does anything."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            wait_until(self._is_stopped, "the dataplane stands still", seconds=10)
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def _is_stopped(self) -> bool:
        stats = [path.read_text() for path in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    def waiting(self) -> int:
        """Packets in the queues."""
        queues = Path(f"/proc/{self.pid}/net/netfilter/nfnetlink_queue").read_text().splitlines()
        rows = [[int(word) for word in line.split()] for line in queues]
        return sum(row[2] for row in rows if row[0] in (QUEUE, QUEUE + 1))

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def _on_one_cpu() -> Iterator[None]:
    """So that packets sent one after the other get to the queue so: every CPU has its backlog."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


class Site:
    """A running one. As a context manager it is ended at the end."""

    def __init__(self, edge: str, platform: str = USUAL.platform) -> None:
        self.edge = edge
        self.platform = platform
        self._folder = tempfile.TemporaryDirectory(prefix="parity-")
        directory = Path(self._folder.name)
        self._log = directory / "log"
        here, there = socket.socketpair()
        here.settimeout(_READY_WITHIN_S)
        command = ["setpriv", "--pdeathsig", "KILL", "unshare"]
        command += ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid():
            command += ["--user", "--map-root-user"]
        words = [edge, platform, str(directory), str(there.fileno())]
        self._process = subprocess.Popen(
            [*command, sys.executable, "-m", "tests.parity.inside", *words],
            stdin=subprocess.PIPE,
            pass_fds=[there.fileno()],
            env=environment(),
        )
        with here, there:
            self._wires: dict[str, Wire] = {}
            self._dataplane: Dataplane | None = None
            try:
                there.close()
                self._wires = receive_wires(here)
                assert self._wires, "the site could not be built"
                self._connect(directory / "socket")
            except BaseException:
                self.close()
                raise

    def _connect(self, path: Path) -> None:
        def is_there() -> bool:
            assert self._process.poll() is None, "the site has ended"
            with contextlib.suppress(OSError):
                self._dataplane = Dataplane(path)
            return self._dataplane is not None

        wait_until(is_there, "the dataplane answers", seconds=_READY_WITHIN_S)
        assert self.dataplane.ask(messages.SetRoutes(tuple(routes()))) == messages.Done()

    @property
    def dataplane(self) -> Dataplane:
        assert self._dataplane is not None
        return self._dataplane

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for wire in self._wires.values():
            wire.close()
        if self._dataplane:
            self._dataplane.close()
        assert self._process.stdin
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def play(
        self, script: Script, wanted: Outcome, way: Way = USUAL, *, unfinished: bool = False
    ) -> Outcome:
        """Sends a script's packets and says what became of them.

        `unfinished` leaves their checksums so (they have to be TCP or UDP then). `wanted` is only
        what is waited for: what has not come after a while does not come.
        """
        self.dataplane.clear_sessions()
        self.dataplane.configure(script.config)
        if way.before is not None:
            self.dataplane.set_offload(way.before)
        logged = self._log.stat().st_size
        before = self.dataplane.counters()
        for wire in self._wires.values():
            wire.forget()

        ports = Ports()

        def can_be_sent(packet: bytes) -> bool:
            ports.learn({UNTRUST: self._wires[UNTRUST].packets()})
            return ports.knows(packet)

        def send(sent: Sent) -> None:
            wire, packet = self._wires[sent.port], sent.packet
            if script.has_pool:
                wait_until(
                    lambda: can_be_sent(packet),
                    "the port is known",
                    seconds=_DECIDED_WITHIN_S,
                    every_s=_POLL_S,
                )
                packet = ports.real(packet)
            (wire.send_unfinished if unfinished else wire.send)(packet)

        queued = wanted.counters.get("pkt_recv", 0)
        if script.together:
            with self.dataplane.stopped():
                for sent in script.packets:
                    send(sent)
                wait_until(
                    lambda: self.dataplane.waiting() == queued,
                    f"{queued} packets in the queue",
                    seconds=_DECIDED_WITHIN_S,
                )
            self._await_decisions(before, queued)
        half = len(script.packets) // 2
        with _on_one_cpu():
            for number, sent in enumerate(() if script.together else script.packets, 1):
                send(sent)
                switched = way.halfway if number == half else None
                if sent.is_awaited or switched is not None:
                    self._await_decisions(before, min(number, queued))
                if switched is not None:
                    self.dataplane.set_offload(switched)
        self._wires[LAST.port].send(LAST.packet)
        self._await_decisions(before, queued + 1)
        self._await_packets({port: len(packets) for port, packets in wanted.out.items()})
        counters = moved(before, self.dataplane.counters())
        out = {port: wire.packets() for port, wire in self._wires.items()}
        out[UNTRUST] = [packet for packet in out[UNTRUST] if packet != self._last()]
        self.dataplane.clear_sessions()
        of_last = _OF_LAST | {
            "session_offloaded": int(way.offloads_at_the_end),
            "nat_dynamic_port_xlat": int(script.has_pool),
        }
        outcome = Outcome(
            moved(of_last, counters),
            {port: packets for port, packets in out.items() if packets},
            self._logged_since(logged),
        )
        return ports.named(outcome) if script.has_pool else outcome

    def _logged_since(self, size: int) -> list[Entry]:
        self.dataplane.counters()  # who asks again finds everything written
        lines = self._log.read_bytes()[size:].splitlines()
        entries = [msgspec.json.decode(line, type=Entry) for line in lines]
        return [entry for entry in entries if entry["dport"] != LAST_PORT]

    def _last(self) -> bytes | None:
        """LAST, once it has come out."""
        out = self._wires[UNTRUST].packets()
        return next((packet for packet in out if packet.endswith(LAST_PAYLOAD)), None)

    def _await_packets(self, wanted: dict[str, int]) -> None:
        """Waits for LAST, and for so many packets out of each port besides."""

        def are_out() -> bool:
            seen = {port: len(wire.packets()) for port, wire in self._wires.items()}
            seen[UNTRUST] -= 1
            return all(seen[port] >= number for port, number in wanted.items())

        limits = {"seconds": _DECIDED_WITHIN_S, "every_s": _POLL_S}
        wait_until(lambda: self._last() is not None, "LAST comes out", **limits)
        with contextlib.suppress(TimeoutError):
            wait_until(are_out, "what should come out", **limits)

    def _await_decisions(self, before: dict[str, int], packets: int) -> None:
        """Waits until so many packets have been received and each of them has its verdict, or is
        a fragment that waits for others."""

        def are_decided() -> bool:
            grown = moved(before, self.dataplane.counters())
            received = grown.get("pkt_recv", 0)
            ended = sum(grown.get(name, 0) for name in _ENDS)
            return received >= packets and received == ended + self.dataplane.fragments()

        what = f"{packets} packets are decided"
        wait_until(are_decided, what, seconds=_DECIDED_WITHIN_S, every_s=_POLL_S)
