"""The dataplane process: an edge, the engine, and a socket on which the management plane asks.

Runs on when the management plane dies; the next one finds it by its socket. Started as

    python -m dataplane.process --socket PATH --log PATH --threat-log PATH --io NAME --queue N \
        --platform NAME
"""

import argparse
import logging
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec
from msgspec import Struct

from dataplane import messages
from dataplane.edges import NAMES
from dataplane.edges.edge import EdgeError, QueueEdge
from dataplane.edges.netfilterqueue import NetfilterQueueEdge
from dataplane.edges.nfqueue import NfqueueEdge
from dataplane.engine import Engine
from dataplane.log_file import LogFile
from dataplane.offload import DEFAULT_PLATFORM, PROFILES
from dataplane.requests import Process, answer

log = logging.getLogger("dataplane")

MAX_CLIENTS: Final = 16
_LENGTH = struct.Struct("!I")
_PEERCRED = struct.Struct("3i")
_IDLE_S = 1.0  # the loop looks around this often even when nothing happens


class _Client:
    """A management plane's connection: whole requests in, whole replies out, never blocking."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._in = bytearray()
        self._out = bytearray()
        self._decoder = msgspec.msgpack.Decoder(messages.Request)

    @property
    def wants_write(self) -> bool:
        return bool(self._out)

    def receive(self) -> None:
        """Raises ConnectionError when the other side is gone."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("closed")
        self._in += data

    def next_request(self) -> messages.Request | messages.Failed | None:
        """The next request, Failed where it cannot be understood, None while it is not whole."""
        if len(self._in) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._in)
        if length > messages.MAX_MESSAGE_BYTES:
            raise ConnectionError(f"request of {length} bytes")
        end = _LENGTH.size + length
        if len(self._in) < end:
            return None
        body = bytes(self._in[_LENGTH.size : end])
        del self._in[:end]
        try:
            request: messages.Request = self._decoder.decode(body)
            return request
        except (ValueError, RecursionError) as error:  # msgspec's own, bad UTF-8, endless nesting
            return messages.Failed(f"request not understood: {error}")

    def send(self, reply: messages.Reply) -> None:
        body = msgspec.msgpack.encode(reply)
        self._out += _LENGTH.pack(len(body)) + body
        self.flush()

    def flush(self) -> None:
        try:
            while self._out:
                del self._out[: self.socket.send(self._out)]
        except BlockingIOError:
            return


class _Log:
    """A log, and who is told that entries of it are lost."""

    def __init__(self, name: str, file: LogFile, engine: Engine) -> None:
        self._name = name
        self._file = file
        self._engine = engine
        self._is_losing = False

    @property
    def lost(self) -> int:
        return self._file.lost

    def write(self, entries: Sequence[Struct]) -> None:
        lost = self._file.lost
        self._file.write(entries)
        if new := self._file.lost - lost:
            self._engine.native.count(f"log_{self._name}_lost", new)
        if bool(new) != self._is_losing and entries:
            self._is_losing = bool(new)
            state = "cannot be written" if new else "is written again"
            log.error("%s log %s", self._name, state)


class DataplaneProcess:
    def __init__(
        self,
        engine: Engine,
        edge: QueueEdge,
        listener: socket.socket,
        traffic_log: LogFile,
        threat_log: LogFile,
    ) -> None:
        self._engine = engine
        self._edge = edge
        self._listener = listener
        self._traffic_log = _Log("traffic", traffic_log, engine)
        self._threat_log = _Log("threat", threat_log, engine)
        self._started_ns = time.monotonic_ns()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(edge.fileno(), selectors.EVENT_READ, "edge")
        self._selector.register(listener, selectors.EVENT_READ, "listener")
        self._clients = 0

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        self._stopping = True

    def run(self) -> None:
        has_more = False
        while not self._stopping:
            for key, events in self._selector.select(0 if has_more else self._timeout_s()):
                if key.data == "edge":
                    self._edge.run_once(time.monotonic_ns())
                elif key.data == "listener":
                    self._accept()
                else:
                    self._serve(key.data, events)
            has_more = self._edge.tick(time.monotonic_ns())
            self._traffic_log.write(self._engine.take_entries())
            self._threat_log.write(self._engine.take_threats())

    def _timeout_s(self) -> float:
        due_ns = self._engine.next_timer_ns()
        if due_ns is None:
            return _IDLE_S
        return min(max(due_ns - time.monotonic_ns(), 0) / 1e9, _IDLE_S)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
        _, uid, _ = _PEERCRED.unpack(credentials)
        if uid not in (0, os.geteuid()) or self._clients >= MAX_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        self._clients += 1
        self._selector.register(connection, selectors.EVENT_READ, _Client(connection))

    def _serve(self, client: _Client, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                client.flush()
            if events & selectors.EVENT_READ:
                client.receive()
            # a client that does not read its answers is not read from either
            while not client.wants_write and (request := client.next_request()) is not None:
                client.send(self._answer(request))
        except (ConnectionError, BlockingIOError) as error:
            if isinstance(error, BlockingIOError):
                return
            self._selector.unregister(client.socket)
            client.socket.close()
            self._clients -= 1
            return
        wanted = selectors.EVENT_WRITE if client.wants_write else selectors.EVENT_READ
        self._selector.modify(client.socket, wanted, client)

    def _answer(self, request: messages.Request | messages.Failed) -> messages.Reply:
        if isinstance(request, messages.Failed):
            return request
        if isinstance(request, messages.Stop):
            self._stopping = True
        process = Process(os.getpid(), self._edge.name, self._started_ns, self._traffic_log.lost)
        reply = answer(self._engine, request, process, time.monotonic_ns())
        if isinstance(request, messages.Configure):
            self._edge.configured()
        return reply


def _edge(name: str, queue: int, engine: Engine) -> QueueEdge:
    return NfqueueEdge(queue, engine) if name == "native" else NetfilterQueueEdge(queue, engine)


def _listen(path: Path) -> socket.socket:
    """A listening Unix socket only its owner can connect to; replaces a dead one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise EdgeError(f"another dataplane answers on {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise EdgeError(f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listener.listen(MAX_CLIENTS)
    listener.setblocking(False)
    return listener


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dataplane", description="The dataplane process.")
    parser.add_argument("--socket", type=Path, required=True, help="where it is asked")
    parser.add_argument("--log", type=Path, required=True, help="the traffic log")
    parser.add_argument("--threat-log", type=Path, required=True, help="the threat log")
    parser.add_argument("--io", choices=NAMES, default=NAMES[0])
    parser.add_argument("--queue", type=int, required=True, help="NFQUEUE number")
    parser.add_argument("--platform", choices=PROFILES, default=DEFAULT_PLATFORM)
    return parser.parse_args(argv)


def _close(logs: list[LogFile]) -> None:
    for one in logs:
        one.close()


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until there is something to stop
    logging.basicConfig(format="dataplane: %(message)s", level=logging.INFO)
    now_ns = time.monotonic_ns()
    logs: list[LogFile] = []
    for name, path in (("traffic", arguments.log), ("threat", arguments.threat_log)):
        try:
            logs.append(LogFile(path))
        except OSError as error:
            print(f"dataplane: {name} log {path}: {error.strerror}", file=sys.stderr)
            _close(logs)
            return 2
    engine = Engine(
        hash_key=os.urandom(16),
        now_ns=now_ns,
        wall_offset_ns=time.time_ns() - now_ns,
        platform=arguments.platform,
    )
    try:
        listener = _listen(arguments.socket)
        edge = _edge(arguments.io, arguments.queue, engine)
    except EdgeError as error:
        print(f"dataplane: {error}", file=sys.stderr)
        return 2
    process = DataplaneProcess(engine, edge, listener, *logs)
    signal.signal(signal.SIGTERM, process.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's ^C is for the management plane
    try:
        process.run()
    except EdgeError as error:
        print(f"dataplane: {error}", file=sys.stderr)
        return 1
    finally:
        edge.close()
        listener.close()
        arguments.socket.unlink(missing_ok=True)
        _close(logs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
