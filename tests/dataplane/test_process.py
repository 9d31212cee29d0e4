"""The process around the engine: its socket, its clients, and an edge that is none."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from dataplane import messages, process
from dataplane.edges.edge import EdgeError
from dataplane.engine import Engine
from dataplane.log_file import LogFile
from dataplane.process import MAX_CLIENTS, DataplaneProcess
from dataplane.snapshot import FloodLimits, Port, SecurityRule, Zone, ZoneProtection
from native import Packet, Verdict
from tests.support.packets import HASH_KEY, routes, snapshot, udp

TIMEOUT_S = 30
ANSWER = msgspec.msgpack.Decoder(messages.Reply)


class FakeEdge:
    """Takes one packet for each byte written to `wire`."""

    name = "fake"

    def __init__(self, engine: Engine) -> None:
        self.wire, self._here = socket.socketpair()
        self._engine = engine
        self.ports: tuple[Port, ...] = ()
        self.verdicts: list[Verdict] = []

    def fileno(self) -> int:
        return self._here.fileno()

    def configured(self) -> None:
        self.ports = self._engine.snapshot.ports

    def run_once(self, now_ns: int) -> bool:
        for _ in self._here.recv(100):
            self.verdicts += self._engine.feed([Packet(udp(), 1, now_ns)])
        return True

    def tick(self, now_ns: int) -> bool:
        self.verdicts += self._engine.tick(now_ns)
        return False

    def close(self) -> None:
        self.wire.close()
        self._here.close()


class Client:
    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(str(path))

    def send(self, body: bytes) -> None:
        self.socket.sendall(struct.pack("!I", len(body)) + body)

    def receive(self) -> messages.Reply:
        (length,) = struct.unpack("!I", self._exactly(4))
        reply: messages.Reply = ANSWER.decode(self._exactly(length))
        return reply

    def ask(self, request: messages.Request) -> messages.Reply:
        self.send(msgspec.msgpack.encode(request))
        return self.receive()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            got = self.socket.recv(size - len(data))
            assert got, "the dataplane closed the connection"
            data += got
        return data

    def is_closed(self) -> bool:
        """Waits for the other side to close; False where it says something instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


class Running:
    """A process in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "socket"
        engine = Engine(hash_key=HASH_KEY, now_ns=0)
        self.edge = FakeEdge(engine)
        self._listener = process._listen(self.path)
        self._clients: list[Client] = []
        self._logs = [LogFile(folder / "traffic.log"), LogFile(folder / "threat.log")]
        self._process = DataplaneProcess(engine, self.edge, self._listener, *self._logs)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._process.run()
        except BaseException as error:
            self._failure = error
            for client in self._clients:  # nobody shall wait for an answer
                with contextlib.suppress(OSError):
                    client.socket.shutdown(socket.SHUT_RDWR)

    def client(self) -> Client:
        client = Client(self.path)
        self._clients.append(client)
        return client

    def end(self) -> None:
        self._process.stop()
        for client in self._clients:
            client.socket.close()
        self.wait_for_end()
        selector = self._process._selector
        for key in list(selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        selector.close()
        self.edge.close()
        for log in self._logs:
            log.close()
        if self._failure is not None:
            raise self._failure

    def wait_for_end(self) -> None:
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.end()


def test_both_logs_are_written(running: Running, tmp_path: Path) -> None:
    client = running.client()
    alarm = {"udp": FloodLimits(alarm=1, activate=100, maximal=200)}
    zones = (Zone("trust", ZoneProtection("zp", floods=alarm)),)
    rules = (SecurityRule("all", "allow", log_start=True),)
    configuration = replace(snapshot(*rules), zones=zones)
    assert client.ask(messages.Configure(configuration)) == messages.Done()
    assert client.ask(messages.SetRoutes(tuple(routes()))) == messages.Done()
    running.edge.wire.send(b"x")
    logs = {record: tmp_path / f"{record}.log" for record in ("traffic", "threat")}
    while not all(path.stat().st_size for path in logs.values()):
        client.ask(messages.GetStatus())
    for record, path in logs.items():
        (line,) = path.read_bytes().splitlines()
        assert msgspec.json.decode(line)["record"] == record


def test_a_life(running: Running) -> None:
    client = running.client()
    status = client.ask(messages.GetStatus())
    assert isinstance(status, messages.Status)
    assert not status.configured
    assert client.ask(messages.Configure(snapshot(interzone="allow"))) == messages.Done()
    assert [port.name for port in running.edge.ports] == [f"ethernet1/{n}" for n in (1, 2, 3)]
    assert client.ask(messages.SetRoutes(tuple(routes()))) == messages.Done()
    running.edge.wire.send(b"x")
    page = client.ask(messages.GetSessions())
    while isinstance(page, messages.SessionPage) and not page.sessions:
        page = client.ask(messages.GetSessions())
    assert isinstance(page, messages.SessionPage)
    assert page.sessions[0].c2s.dport == 53
    assert client.ask(messages.ClearSession(page.sessions[0].id)) == messages.Done(1)
    assert client.ask(messages.Stop()) == messages.Done()
    running.wait_for_end()
    assert len(running.edge.verdicts) == 1


def test_requests_in_pieces_and_together(running: Running) -> None:
    client = running.client()
    body = msgspec.msgpack.encode(messages.GetSession(7))
    framed = struct.pack("!I", len(body)) + body
    for byte in framed:
        client.socket.sendall(bytes([byte]))
    assert client.receive() == messages.SessionDetail(None)
    client.socket.sendall(framed * 50 + framed[:3])
    for _ in range(50):
        assert client.receive() == messages.SessionDetail(None)
    client.socket.sendall(framed[3:])
    assert client.receive() == messages.SessionDetail(None)


def deep(levels: int) -> bytes:
    unknown_field = b"\x82\xa4type\xa9GetStatus\xa1x"
    return unknown_field + b"\x91" * levels + b"\xc0"


GARBAGE = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\xc1", id="a byte msgpack does not use"),
    pytest.param(b"\xc0", id="nil"),
    pytest.param(b"\x80", id="no type"),
    pytest.param(b"\x81\xa4type\xa6Reboot", id="a type nobody knows"),
    pytest.param(msgspec.msgpack.encode(messages.Done()), id="a reply"),
    pytest.param(b"\x82\xa4type\xaaGetSession\xa2id\xa1x", id="text for a number"),
    pytest.param(msgspec.msgpack.encode(messages.GetStatus())[:-1], id="cut off"),
    pytest.param(msgspec.msgpack.encode(messages.GetStatus()) + b"x", id="one byte too many"),
    pytest.param(b"\xdf\xff\xff\xff\xff", id="a map of four thousand million"),
    pytest.param(b"\x82\xa4type\xabGetSessions\xa6filter\x81\xa6source\xa2\xff\xfe", id="no UTF-8"),
    pytest.param(deep(100_000), id="deeper than any stack"),
    pytest.param(bytes(range(256)) * 1000, id="noise"),
]


@pytest.mark.parametrize("body", GARBAGE)
def test_garbage_is_answered_and_forgotten(running: Running, body: bytes) -> None:
    client = running.client()
    client.send(body)
    reply = client.receive()
    assert isinstance(reply, messages.Failed)
    assert reply.message.startswith("request not understood: ")
    assert "\n" not in reply.message
    assert isinstance(client.ask(messages.GetStatus()), messages.Status)


def test_a_length_that_cannot_be_ends_the_connection(running: Running) -> None:
    other = running.client()
    client = running.client()
    client.socket.sendall(struct.pack("!I", messages.MAX_MESSAGE_BYTES + 1))
    assert client.is_closed()
    assert isinstance(other.ask(messages.GetStatus()), messages.Status)


def test_clients_that_leave(running: Running) -> None:
    for behaviour in ("says nothing", "half a length", "half a request", "does not read"):
        client = running.client()
        if behaviour == "half a length":
            client.socket.sendall(b"\0\0")
        elif behaviour == "half a request":
            client.socket.sendall(b"\0\0\0\xff\x81")
        elif behaviour == "does not read":
            client.send(msgspec.msgpack.encode(messages.GetCounters()))
        client.socket.close()
        assert isinstance(running.client().ask(messages.GetStatus()), messages.Status)


def test_one_client_too_many(running: Running) -> None:
    clients = [running.client() for _ in range(MAX_CLIENTS)]
    for client in clients:
        assert isinstance(client.ask(messages.GetStatus()), messages.Status)
    assert running.client().is_closed()
    clients[5].socket.close()
    while True:  # its place is free as soon as the dataplane has noticed
        late = running.client()
        with contextlib.suppress(ConnectionError, AssertionError):
            assert isinstance(late.ask(messages.GetStatus()), messages.Status)
            break
    assert isinstance(clients[0].ask(messages.GetStatus()), messages.Status)


def test_a_client_that_does_not_read_stops_nobody(running: Running) -> None:
    slow, other = running.client(), running.client()
    body = msgspec.msgpack.encode(messages.GetCounters())
    framed = struct.pack("!I", len(body)) + body
    slow.socket.settimeout(0.2)
    sent = 0
    with contextlib.suppress(TimeoutError):  # until its answers, then its requests, pile up
        while True:
            sent += slow.socket.send(framed * 100)
    for _ in range(20):
        assert isinstance(other.ask(messages.GetStatus()), messages.Status)
    slow.socket.settimeout(TIMEOUT_S)
    for _ in range(sent // len(framed)):
        assert isinstance(slow.receive(), messages.Counters)
    missing = -sent % len(framed)
    slow.socket.sendall(framed[len(framed) - missing :] if missing else b"")
    if missing:
        assert isinstance(slow.receive(), messages.Counters)


def test_a_configuration_it_refuses_leaves_the_ports(running: Running) -> None:
    client = running.client()
    assert client.ask(messages.Configure(snapshot())) == messages.Done()
    before = running.edge.ports
    bad = snapshot(timeouts_s={"timeout-udp": -1})
    assert isinstance(client.ask(messages.Configure(bad)), messages.Failed)
    assert running.edge.ports == before


def test_two_dataplanes_cannot_share_a_socket(running: Running, tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="another dataplane answers on"):
        process._listen(running.path)
    with pytest.raises(EdgeError, match=r"cannot listen on .*: No such file or directory"):
        process._listen(tmp_path / "missing" / "socket")


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    process._listen(path).close()
    assert path.exists()
    listener = process._listen(path)
    assert path.stat().st_mode & 0o777 == 0o600
    listener.close()


@pytest.mark.parametrize(("name", "option"), [("traffic", "--log"), ("threat", "--threat-log")])
def test_a_log_that_cannot_be_opened_is_one_line(
    name: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "missing" / f"{name}.log"
    paths = {"--socket": "socket", "--log": "traffic.log", "--threat-log": "threat.log"}
    options = {path: str(tmp_path / file) for path, file in paths.items()} | {option: str(log)}
    arguments = [word for pair in options.items() for word in pair]
    assert process.main([*arguments, "--queue", "7"]) == 2
    said = capsys.readouterr().err
    assert said == f"dataplane: {name} log {log}: No such file or directory\n"
