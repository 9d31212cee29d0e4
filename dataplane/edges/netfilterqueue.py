"""NFQUEUE through the NetfilterQueue package: the portable edge, one Python object a packet.

The kernel has finished checksums and cut large segments to the MTU for us here (the package does
not ask for GSO), so packets come as they were on the wire. They come up to 4,016 bytes long, the
package's limit; longer ones, of jumbo frames, arrive cut off and are dropped as truncated.
"""

import errno
import select
import socket
import struct
import warnings

from netfilterqueue import NetfilterQueue
from netfilterqueue import Packet as QueuedPacket

from dataplane import marks
from dataplane.edges.edge import EdgeError
from dataplane.edges.ports import by_index
from dataplane.edges.queue_counters import QueueCounters
from dataplane.engine import Engine
from native import MAX_BURST, InputFlag, Packet, Verdict, VerdictAction

QUEUE_PACKETS = 4096  # the kernel holds this many, then drops (fail closed)
SOCKET_BUFFER_BYTES = 4 << 20
MESSAGE_BYTES = 8192  # more than a packet of 4,016 bytes and all that can be said about it
IPV6_HDRINCL = 36  # linux/in6.h; Python has no name for it
_LOCAL_OUT = 3  # enum nf_inet_hooks
_IP_PKTINFO = 8  # linux/in.h
_ETHERTYPE = {4: 0x0800, 6: 0x86DD}


class _BoundedReader:
    """The queue's socket for NetfilterQueue.run_socket: ends a run after a burst."""

    def __init__(self, queue: socket.socket) -> None:
        self._queue = queue
        self.left = 0

    def close(self) -> None:
        self._queue.close()

    def recv(self, _size: int) -> bytes:
        if not self.left:
            raise BlockingIOError(errno.EAGAIN, "burst is full")
        self.left -= 1
        # the package's own size is too small for its longest packet with a time beside it; a
        # message cut off would be no packet, and stay in the queue for ever
        return self._queue.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)


class NetfilterQueueEdge:
    """Raises EdgeError where the queue cannot be had."""

    name = "netfilterqueue"

    def __init__(self, queue_number: int, engine: Engine) -> None:
        self._engine = engine
        self._counters = QueueCounters(queue_number, engine.native)
        self._emit_failed = 0
        self._burst: list[tuple[QueuedPacket, bytes]] = []
        self._waiting: dict[int, QueuedPacket] = {}  # by tag: no verdict yet
        self._next_tag = 1
        self._port_by_index: dict[int, int] = {}
        self._interfaces: dict[int, str] = {}
        self._queues: list[tuple[NetfilterQueue, _BoundedReader]] = []
        self._poll = select.epoll()
        try:
            # the other one is the native edge's for segments that open connections: a firewall that
            # was started for that edge may be taken over
            for number in (queue_number + 1, queue_number):
                self._bind(number)
        except OSError as error:
            raise EdgeError(
                f"queue {queue_number} cannot be taken ({error}): another program may hold it "
                "(choose another with --queue), CAP_NET_ADMIN may be missing (run as root), or the "
                "kernel lacks nfnetlink_queue"
            ) from error
        try:
            self._raw = {
                4: _raw_socket(socket.AF_INET, socket.IPPROTO_IP, socket.IP_HDRINCL),
                6: _raw_socket(socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_HDRINCL),
            }
            self._frames = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        except OSError as error:
            raise EdgeError(f"raw sockets need CAP_NET_RAW (run as root): {error}") from error

    def _bind(self, number: int) -> None:
        queue = NetfilterQueue()
        with warnings.catch_warnings():
            # as an ordinary user of a namespace the buffer stays at the system's limit
            warnings.simplefilter("ignore", RuntimeWarning)
            queue.bind(number, self._receive, max_len=QUEUE_PACKETS, sock_len=SOCKET_BUFFER_BYTES)
        reader = _BoundedReader(socket.socket(fileno=socket.dup(queue.get_fd())))
        self._queues.append((queue, reader))
        self._poll.register(queue.get_fd(), select.EPOLLIN)

    def _receive(self, queued: QueuedPacket) -> None:
        # only here does the package still have the payload
        self._burst.append((queued, queued.get_payload()))

    def fileno(self) -> int:
        return self._poll.fileno()

    def configured(self) -> None:
        ports = self._engine.snapshot.ports
        self._port_by_index = by_index(self._engine, ports)
        self._interfaces = {self._engine.port_number(port.name): port.interface for port in ports}

    def run_once(self, now_ns: int) -> bool:
        for queue, reader in self._queues:
            reader.left = MAX_BURST
            queue.run_socket(reader)
        packets = []
        for queued, payload in self._burst:
            tag, self._next_tag = self._next_tag, self._next_tag + 1
            self._waiting[tag] = queued
            packets.append(self._packet(queued, payload, now_ns, tag))
        self._burst.clear()
        self._settle(self._engine.feed(packets))
        return True

    def _packet(self, queued: QueuedPacket, payload: bytes, now_ns: int, tag: int) -> Packet:
        ports = self._port_by_index
        is_own = queued.hook == _LOCAL_OUT
        flags = InputFlag.FROM_HOST if is_own else 0
        if queued.physindev and queued.get_mark() == marks.BROADCAST:
            flags |= InputFlag.BROADCAST
        return Packet(
            payload,
            ports.get(queued.physindev or queued.indev, 0),
            now_ns,
            tag,
            flags=flags,
            egress=ports.get(queued.outdev if is_own else queued.physoutdev, 0),
            mac=(queued.get_hw() or b"")[:6].ljust(6, b"\0"),
        )

    def tick(self, now_ns: int) -> bool:
        self._settle(self._engine.tick(now_ns))
        if self._counters.is_due(now_ns):
            self.configured()
            self._counters.update({"nfq_emit_fail": self._emit_failed})
        return False

    def _settle(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            if verdict.action is VerdictAction.EMIT:
                self._emit(verdict)
                continue
            queued = self._waiting.pop(verdict.tag)
            if verdict.action in (VerdictAction.DROP, VerdictAction.CONSUMED):
                queued.drop()
            else:
                queued.set_mark(verdict.mark)
                if verdict.data is not None:
                    queued.set_payload(verdict.data)
                queued.accept()

    def _emit(self, verdict: Verdict) -> None:
        assert verdict.data is not None
        version = verdict.data[0] >> 4
        address = verdict.data[16:20] if version == 4 else verdict.data[24:40]
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        try:
            if any(verdict.mac):  # to a neighbour on a bridged port, where no route leads
                interface = self._interfaces[verdict.port]
                to = (interface, _ETHERTYPE[version], 0, 0, verdict.mac)
                self._frames.sendto(verdict.data, to)
            else:
                target = (socket.inet_ntop(family, address), 0)
                self._raw[version].sendmsg([verdict.data], self._pin(verdict, version), 0, target)
        except OSError:  # no neighbour, no route back: the sender will have to time out
            self._emit_failed += 1

    def _pin(self, verdict: Verdict, version: int) -> list[tuple[int, int, bytes]]:
        """Control messages that name the interface, where that is not up to the routes."""
        if not verdict.is_pinned:
            return []
        index = socket.if_nametoindex(self._interfaces[verdict.port])
        if version == 4:
            return [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("@i8x", index))]
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("@16xi", index))]

    def close(self) -> None:
        self._poll.close()
        for queue, reader in self._queues:
            queue.unbind()
            reader.close()
        for raw in (*self._raw.values(), self._frames):
            raw.close()


def _raw_socket(family: int, level: int, header_included: int) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW)
    raw.setsockopt(level, header_included, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, marks.HOST)  # the hook knows it for ours
    return raw
