"""The guest agent of a machine: commands and files in it, without any network of its.

qemu's guest agent reads requests from a virtio serial port, JSON and one a line, and answers the
same way; outside that port is a Unix socket with room for one client. So an `Agent` keeps no
connection: it connects, finds the place where its own answers begin, asks, and leaves, and several
of them take turns.
"""

import contextlib
import secrets
import socket
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from vm.namespaces import LabError
from vm.waiting import now_s

T = TypeVar("T")

ANSWER_WITHIN_S = 30  # software emulation on a busy machine is slow
_SYNCHRONISE_EVERY_S = 2
_LONGEST_ANSWER_BYTES = 64 << 20  # the agent keeps 16 MiB of each output, in base64
_LONGEST_FILE_BYTES = 256 << 20
_CHUNK_BYTES = 192 << 10
_TURN_S = 1  # a command that takes longer lets others ask in between
_FIRST_LOOK_S, _LAST_LOOK_S = 0.02, 0.5
_NEW_START = b"\xff"  # no part of any JSON text: makes the agent's parser begin anew


class _Error(msgspec.Struct):
    desc: str = "no reason given"


class _Answer(msgspec.Struct):
    id: int | None = None
    value: msgspec.Raw = msgspec.field(name="return", default_factory=lambda: msgspec.Raw(b"null"))
    error: _Error | None = None


class _Started(msgspec.Struct):
    pid: int


class _Status(msgspec.Struct, rename="kebab"):
    exited: bool
    exitcode: int = 0
    signal: int = 0
    out_data: str = ""
    err_data: str = ""
    out_truncated: bool = False
    err_truncated: bool = False


class _Chunk(msgspec.Struct, rename="kebab"):
    buf_b64: str
    eof: bool


class _Written(msgspec.Struct):
    count: int


class Protocol:
    """Both directions of a connection, without the connection.

    What an earlier client left behind - half a request, answers nobody has fetched - ends where the
    agent answers a synchronisation of ours: its id is one that nobody had before.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._synchronisations: set[int] = set()
        self._awaited: int | None = None
        self.is_synchronised = False

    def synchronise(self) -> bytes:
        """To be sent, and again after a while without an answer."""
        number = secrets.randbits(48)
        self._synchronisations.add(number)
        return _NEW_START + _line("guest-sync-delimited", None, {"id": number})

    def request(self, command: str, arguments: dict[str, Any]) -> bytes:
        """To be sent once synchronised; an answer to an earlier request no longer counts."""
        self._awaited = secrets.randbits(48)
        return _line(command, self._awaited, arguments)

    def feed(self, data: bytes) -> msgspec.Raw | None:
        """Takes what came; the answer to the request where it was in there.

        Raises LabError where the agent refuses, and for an answer without an end.
        """
        self._received += data
        if len(self._received) > _LONGEST_ANSWER_BYTES:
            raise LabError(f"the guest agent's answer is longer than {_LONGEST_ANSWER_BYTES} bytes")
        if b"\n" not in data:
            return None
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        for line in map(bytes, lines):
            answer = _parse(line.rpartition(_NEW_START)[2])
            if answer is None:
                continue
            if not self.is_synchronised:
                self.is_synchronised = _number(answer.value) in self._synchronisations
            elif answer.id is not None and answer.id == self._awaited:
                self._awaited = None
                if answer.error:
                    raise LabError(f"the guest agent refuses: {answer.error.desc}")
                return answer.value
        return None


def _line(command: str, number: int | None, arguments: dict[str, Any]) -> bytes:
    request: dict[str, Any] = {"execute": command}
    if number is not None:
        request["id"] = number
    if arguments:
        request["arguments"] = arguments
    return msgspec.json.encode(request) + b"\n"


def _parse(line: bytes) -> _Answer | None:
    try:
        return msgspec.json.decode(line, type=_Answer)
    except msgspec.DecodeError:
        return None


def _number(value: msgspec.Raw) -> int | None:
    try:
        return msgspec.json.decode(value, type=int)
    except msgspec.DecodeError:
        return None


class _Connection:
    """A turn with the agent: synchronised at its start, and every wait has an end."""

    def __init__(self, path: Path, within_s: float) -> None:
        """Raises LabError where the agent does not answer within that time."""
        self._path, self._within_s = path, within_s
        self._deadline = now_s() + within_s
        self._protocol = Protocol()
        self._socket = self._connect()
        try:
            self._synchronise()
        except BaseException:
            self._socket.close()
            raise

    def _connect(self) -> socket.socket:
        while True:
            left = self._left()
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(left)
            try:
                client.connect(str(self._path))
                return client
            except BlockingIOError:  # others are waiting for their turn
                client.close()
                time.sleep(_FIRST_LOOK_S)
            except TimeoutError:
                client.close()
            except OSError as error:
                client.close()
                raise LabError(f"the machine does not run: {error.strerror}") from None

    def _synchronise(self) -> None:
        while not self._protocol.is_synchronised:
            self._send(self._protocol.synchronise())
            again = now_s() + _SYNCHRONISE_EVERY_S
            while not self._protocol.is_synchronised and self._receive(again):
                pass

    def _left(self) -> float:
        left = self._deadline - now_s()
        if left <= 0:
            raise LabError(f"the machine's guest agent gave no answer within {self._within_s:g} s")
        return left

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._left())
        try:
            self._socket.sendall(data)
        except TimeoutError:
            self._left()
        except OSError as error:
            raise LabError(f"the machine has ended: {error.strerror}") from None

    def _receive(self, until: float) -> bool:
        """Takes what comes, into `answer`; False where nothing came until then."""
        wait = min(self._left(), until - now_s())
        if wait <= 0:
            return False
        self._socket.settimeout(wait)
        try:
            data = self._socket.recv(1 << 20)
        except TimeoutError:
            return False
        except OSError as error:
            raise LabError(f"the machine has ended: {error.strerror}") from None
        if not data:
            raise LabError("the machine has ended")
        self.answer = self._protocol.feed(data)
        self._deadline = now_s() + self._within_s  # a long answer takes longer
        return True

    def ask(self, kind: type[T], command: str, **arguments: Any) -> T:
        self._deadline = now_s() + self._within_s
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._send(self._protocol.request(command, named))
        self.answer = None
        while self.answer is None:
            self._receive(self._deadline + 1)
        try:
            return msgspec.json.decode(self.answer, type=kind)
        except msgspec.DecodeError as error:
            raise LabError(f"the guest agent's answer to {command} is strange: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()


class Agent:
    """The agent behind a socket; the machine may start, end and start again meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _connected(self) -> _Connection:
        return _Connection(self._path, ANSWER_WITHIN_S)

    def is_there(self) -> bool:
        """Whether it answers within two seconds."""
        try:
            with _Connection(self._path, _SYNCHRONISE_EVERY_S):
                return True
        except LabError:
            return False

    def run(
        self, argv: Sequence[str], stdin: str = "", timeout: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as root to its end. Raises subprocess.TimeoutExpired and LabError.

        The output comes at the end, the first 16 MiB of it; standard error says where that is not
        all. A command that takes too long is killed with its children.
        """
        deadline = now_s() + timeout
        pid, status = 0, None
        try:
            with self._connected() as turn:
                started = turn.ask(
                    _Started,
                    "guest-exec",
                    path="setsid",  # a session of its own, to be killed with its children
                    arg=list(argv),
                    input_data=b64encode(stdin.encode()).decode(),
                    capture_output=True,
                )
                pid = started.pid
                status = _end_of(pid, turn, min(deadline, now_s() + _TURN_S))
            while status is None:
                if now_s() >= deadline:
                    raise subprocess.TimeoutExpired(list(argv), timeout)
                time.sleep(_LAST_LOOK_S)
                with self._connected() as turn:
                    status = _end_of(pid, turn, now_s())
        except BaseException:
            if pid:
                self._kill(pid)
            raise
        return _completed(argv, status)

    def start(self, argv: Sequence[str]) -> None:
        """Starts a command and returns, for one that ends the agent itself. Raises LabError."""
        with self._connected() as turn:
            turn.ask(_Started, "guest-exec", path=argv[0], arg=list(argv[1:]))

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(LabError), self._connected() as turn:
            turn.ask(_Started, "guest-exec", path="kill", arg=["-KILL", "--", f"-{pid}"])
            _end_of(pid, turn, now_s() + _TURN_S)  # asked for its end, the agent forgets it

    def write(self, path: Path, content: bytes, mode: int) -> None:
        """Makes or replaces a file of root. Raises LabError."""
        with self._connected() as turn, _opened(turn, path, "w") as handle:
            for start in range(0, len(content), _CHUNK_BYTES):
                rest = content[start : start + _CHUNK_BYTES]
                while rest:
                    data = b64encode(rest).decode()
                    written = turn.ask(_Written, "guest-file-write", handle=handle, buf_b64=data)
                    rest = rest[written.count :]
        done = self.run(["chmod", f"{mode:o}", str(path)])
        if done.returncode:
            raise LabError(" ".join(done.stderr.split()))

    def read(self, path: Path) -> bytes:
        """What is in a file. Raises LabError."""
        content = bytearray()
        with self._connected() as turn, _opened(turn, path, "r") as handle:
            while len(content) <= _LONGEST_FILE_BYTES:
                chunk = turn.ask(_Chunk, "guest-file-read", handle=handle, count=_CHUNK_BYTES)
                content += b64decode(chunk.buf_b64)
                if chunk.eof:
                    return bytes(content)
        raise LabError(f"{path} in the machine is longer than {_LONGEST_FILE_BYTES} bytes")


@contextlib.contextmanager
def _opened(turn: _Connection, path: Path, mode: str) -> Iterator[int]:
    handle = turn.ask(int, "guest-file-open", path=str(path), mode=mode)
    try:
        yield handle
    finally:
        turn.ask(dict, "guest-file-close", handle=handle)


def _end_of(pid: int, turn: _Connection, until: float) -> _Status | None:
    """How a command has ended; None where it runs on then. Looks at least once."""
    pause = _FIRST_LOOK_S
    while True:
        status = turn.ask(_Status, "guest-exec-status", pid=pid)
        if status.exited:
            return status
        if now_s() >= until:
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, _LAST_LOOK_S)


def _completed(argv: Sequence[str], status: _Status) -> subprocess.CompletedProcess[str]:
    out, err = (
        b64decode(data).decode(errors="replace") for data in (status.out_data, status.err_data)
    )
    for name, is_cut in (("output", status.out_truncated), ("error", status.err_truncated)):
        if is_cut:
            err += f"\n[the end of standard {name} is missing: the guest agent keeps 16 MiB]\n"
    code = -status.signal if status.signal else status.exitcode
    return subprocess.CompletedProcess(list(argv), code, out, err)
