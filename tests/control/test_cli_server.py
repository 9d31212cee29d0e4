"""Server and client over a real socket, each side also against a peer that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control.cli import grammar, pipes, server
from control.cli.client import Client, UnreachableError, run_cli
from control.cli.operations import Operations
from control.cli.protocol import MAX_REQUEST_BYTES, End, Hello, Text, encode
from control.cli.server import CliServer, CliSocketError
from tests.control.cli_fake import FakeManagement, pings

ROOT = Path(__file__).parents[2]


class Running:
    """A server in a thread of its own."""

    def __init__(
        self, path: Path, management: FakeManagement, allowed_uids: tuple[int, ...] | None
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = CliServer(Operations(management), path, allowed_uids)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result()
        except CliSocketError:
            self._end()
            raise

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result()
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


Start = Callable[..., Running]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "cli.sock"


@pytest.fixture
def firewall() -> FakeManagement:
    return FakeManagement()


@pytest.fixture
def start(path: Path, firewall: FakeManagement) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def run(allowed_uids: tuple[int, ...] | None = None) -> Running:
            running = Running(path, firewall, allowed_uids)
            stack.callback(running.stop)
            return running

        yield run


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


def read_all(connection: socket.socket) -> bytes:
    """What comes until the peer hangs up, however it does that."""
    parts = []
    with connection, contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def reader(before: set[threading.Thread]) -> threading.Thread:
    """The thread that reads ahead for a client."""
    (thread,) = set(threading.enumerate()) - before
    return thread


# ---- client and server ---------------------------------------------------------------------------


def test_commands(
    path: Path, start: Start, firewall: FakeManagement, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    firewall.sessions = pings(3)
    assert run_cli(path, ["show session all filter count yes", "clear session id 2"]) == 0
    output = capsys.readouterr()
    assert output.out == "Number of sessions that match filter: 3\nsession 2 cleared\n"
    assert not output.err


@pytest.mark.parametrize(
    ("commands", "status"),
    [
        (["show clock"], 0),
        (["show clok"], 1),
        (["show clok", "show clock"], 1),
        (["show session id 9"], 1),
        (["configure"], 1),
        (["exit", "show clok"], 0),
        ([""], 0),
    ],
)
def test_the_status_says_whether_all_went_well(
    path: Path, start: Start, commands: list[str], status: int
) -> None:
    start()
    assert run_cli(path, commands) == status


def test_pipes(
    path: Path, start: Start, firewall: FakeManagement, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    firewall.sessions = pings(3)
    lines = ["show session all | match ^[12] | count", "sh conf run | except zone"]
    assert run_cli(path, lines) == 0
    assert capsys.readouterr().out == ("Count: 2 lines\nset deviceconfig system hostname fw1\n")


def test_a_refusal_goes_round_the_pipes(
    path: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    assert run_cli(path, ["show session id 9 | match nothing | count"]) == 1
    assert capsys.readouterr().out == "session 9 not found\n"


@pytest.mark.parametrize("pipe", ["count", "match nothing", "except running", "count | count"])
def test_what_cannot_be_answered_is_not_counted(
    path: Path,
    start: Start,
    firewall: FakeManagement,
    capsys: pytest.CaptureFixture[str],
    pipe: str,
) -> None:
    start()
    firewall.is_down = True
    assert run_cli(path, [f"show counter global | {pipe}", "show clock | match 10:00"]) == 1
    refusal, clock = capsys.readouterr().out.splitlines()
    assert refusal == "the dataplane is not running; it is being restarted"
    assert "10:00" in clock


def test_standard_input(
    path: Path,
    start: Start,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start()
    raw = io.BytesIO(b"show config running | count\n\nshow \xff\nquit\nshow config running\n")
    with io.TextIOWrapper(raw) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run_cli(path, []) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Count: 2 lines"
    assert second.startswith('Invalid syntax. "\ufffd" is not known after "show"')


def test_an_argument_that_is_not_text(
    path: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    assert run_cli(path, [os.fsdecode(b"show \xff")]) == 1
    assert capsys.readouterr().out.startswith('Invalid syntax. "?" is not known')


def test_the_output_may_be_closed_early(path: Path, start: Start, firewall: FakeManagement) -> None:
    start()
    firewall.page = 500
    firewall.sessions = pings(20_000)
    program = "import sys; from pathlib import Path; from control.cli.client import run_cli; "
    program += "sys.exit(run_cli(Path(sys.argv[1]), ['show session all']))"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 0


def test_completion(path: Path, start: Start) -> None:
    start()
    answer = Client(path).complete("show sess")
    assert [choice.text for choice in answer.choices] == ["session"]
    assert answer.start == 5


def test_a_reader_that_pauses_gets_everything(
    path: Path, start: Start, firewall: FakeManagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READER_TIMEOUT_S", 5.0)
    start()
    firewall.page = 500
    firewall.sessions = pings(8_000)
    before = set(threading.enumerate())
    answer = Client(path).run("show session all")
    parts = [next(answer)]
    reader(before).join()  # the server is done, nobody has read more than a page yet
    parts += answer
    assert "".join(parts).count(" FLOW ") == 8_000


# ---- where there is no server, or a strange one --------------------------------------------------


@pytest.mark.parametrize("is_stale", [False, True])
def test_nobody_there(path: Path, capsys: pytest.CaptureFixture[str], is_stale: bool) -> None:
    if is_stale:
        path.parent.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(str(path))
    assert run_cli(path, ["show clock"]) == 2
    output = capsys.readouterr()
    assert not output.out
    assert output.err == (
        f"cannot connect to {path}: nobody is answering;"
        " start sixtuple run or name its socket with --socket PATH\n"
    )


def test_another_user_is_told_so(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert run_cli(path, ["show clock"]) == 2
    assert "run this as root or as the user sixtuple run runs as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-x\r\n", "something answers that is not sixtuple run"),
        (b"", "something answers that is not sixtuple run"),
        (encode(Text("x")), "no greeting"),
        (encode(Hello("fw1")), "broke off before the answer was whole"),
        (encode(Hello("fw1")) + encode(Text("half")), "broke off before the answer was whole"),
        (encode(Hello("fw1")) + b"noise\n", "broke off before the answer was whole"),
    ],
)
def test_a_strange_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: bytes, message: str
) -> None:
    path = tmp_path / "cli.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer)
                if answer.startswith(encode(Hello("fw1"))):
                    connection.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        assert run_cli(path, ["show clock"]) == 2
        thread.join()
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1


# ---- what the server lets through ----------------------------------------------------------------


def test_modes(path: Path, start: Start) -> None:
    start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_other_users_get_one_line(path: Path, start: Start) -> None:
    start(allowed_uids=(os.getuid() + 1,))
    with pytest.raises(UnreachableError, match=f"user id {os.getuid()} may not use"):
        Client(path).hostname()
    text = read_all(connect(path))
    assert text.count(b"\n") == 1


def test_a_running_firewall_keeps_its_socket(path: Path, start: Start) -> None:
    start()
    with pytest.raises(CliSocketError, match="another sixtuple run is answering there"):
        start()
    assert Client(path).hostname() == "fw1"


def test_a_commit_may_change_the_name(path: Path, start: Start, firewall: FakeManagement) -> None:
    start()
    firewall.hostname = "fw2"
    assert Client(path).hostname() == "fw2"


def test_the_socket_of_a_crashed_run_is_taken_over(path: Path, start: Start) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    start()
    assert Client(path).hostname() == "fw1"


def test_a_file_is_left_alone(path: Path, start: Start) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(CliSocketError, match="there is a file in its place"):
        start()
    assert path.read_text() == "precious"


def test_a_path_no_socket_can_have(tmp_path: Path) -> None:
    management = FakeManagement()
    with pytest.raises(CliSocketError, match="too long"):
        Running(tmp_path / ("x" * 120), management, None)


def test_the_socket_goes_with_the_server(path: Path, firewall: FakeManagement) -> None:
    running = Running(path, firewall, None)
    running.stop()
    assert not path.exists()


@pytest.mark.parametrize(
    ("request_bytes", "message"),
    [
        (b"{}\n", b"not a request"),
        (b"\xff\x00\n", b"not a request"),
        (b'{"type":"reboot"}\n', b"not a request"),
        (b"x" * (2 * MAX_REQUEST_BYTES), b"a command has at most 16384 bytes"),
    ],
)
def test_a_strange_request(path: Path, start: Start, request_bytes: bytes, message: bytes) -> None:
    start()
    connection = connect(path)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(request_bytes)
    assert message in read_all(connection)
    assert Client(path).hostname() == "fw1"


@pytest.mark.parametrize("length", [MAX_REQUEST_BYTES, 10_000_000])
def test_a_long_command_is_refused(
    path: Path, start: Start, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    start()
    assert run_cli(path, ["show " + "x" * length]) == 1
    assert capsys.readouterr().out == "a command has at most 16384 bytes\n"


def test_silent_clients_are_dropped(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 0.1)
    start()
    connection = connect(path)
    connection.sendall(b'{"type":')
    assert read_all(connection) == encode(Hello("fw1"))


def test_clients_that_do_not_read_are_dropped(
    path: Path, start: Start, firewall: FakeManagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READER_TIMEOUT_S", 0.1)
    start()
    firewall.page = 5000
    firewall.sessions = pings(20_000)
    stuck = connect(path)
    stuck.sendall(b'{"type":"run","command":"show session all"}\n')
    # the others are answered all the while
    assert "".join(Client(path).run("show clock"))
    hang_up = select.poll()
    hang_up.register(stuck, select.POLLRDHUP)
    assert hang_up.poll(10_000)
    assert encode(End()) not in read_all(stuck)


def test_clients_are_counted(path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CLIENTS", 2)
    start()
    waiting = [connect(path) for _ in range(2)]
    for connection in waiting:
        assert connection.recv(1000) == encode(Hello("fw1"))
    with pytest.raises(UnreachableError, match="2 clients are connected already"):
        Client(path).hostname()
    for connection in waiting:
        connection.close()
    for _ in range(1000):
        with contextlib.suppress(UnreachableError):
            assert Client(path).hostname() == "fw1"
            break
    else:
        pytest.fail("places are not given back")


def test_stopping_ends_what_is_going_on(path: Path, firewall: FakeManagement) -> None:
    firewall.page = 5000
    firewall.sessions = pings(20_000)
    running = Running(path, firewall, None)
    idle, stuck = connect(path), connect(path)
    stuck.sendall(b'{"type":"run","command":"show session all"}\n')
    assert stuck.recv(1)
    assert idle.recv(1)
    running.stop()
    for connection in (idle, stuck):
        assert encode(End()) not in read_all(connection)


def test_interrupting_ends_the_reading_thread(
    path: Path, start: Start, firewall: FakeManagement
) -> None:
    start()
    firewall.page = 500
    firewall.sessions = pings(5000)
    before = set(threading.enumerate())
    answer = Client(path).run("show session all")
    next(answer)
    thread = reader(before)
    del answer
    thread.join(10)
    assert not thread.is_alive()


def test_pipes_take_chunks_however_they_come() -> None:
    chunks = ["al", "pha\nbe", "ta\n", "", "gamma"]
    assert "".join(pipes.apply([], chunks)) == "alpha\nbeta\ngamma"
    match = [grammar.Pipe("match", "^(a|g)")]
    assert "".join(pipes.apply(match, chunks)) == "alpha\ngamma\n"
    both = [*match, grammar.Pipe("except", "mm"), grammar.Pipe("count", "")]
    assert "".join(pipes.apply(both, chunks)) == "Count: 1 lines\n"
