"""The administrator's end of the command line: carries commands to the daemon, prints the answers.

A connection per command: a restarted daemon is found again, and an idle prompt costs nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from control.cli import grammar, pipes
from control.cli.grammar import GrammarError
from control.cli.protocol import (
    Choices,
    Complete,
    End,
    Hello,
    Refused,
    Reply,
    Request,
    Run,
    Text,
    decode_reply,
    encode,
)

_GREETING_TIMEOUT_S = 10.0
_COMPLETE_TIMEOUT_S = 2.0

OK, REFUSED, UNREACHABLE = 0, 1, 2  # exit statuses
_INTERRUPTED = 130


class UnreachableError(Exception):
    """The daemon cannot be reached; the message is one line that says what to do."""


class _RefusedError(Exception):
    """Ends the pipes; the message is what the daemon said."""


class Client:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.was_refused = False  # by the command run last

    def hostname(self) -> str:
        """Raises UnreachableError, also where the daemon will not talk to this user."""
        connection, hello = self._connect()
        connection.close()
        return hello.hostname

    def run(self, line: str) -> Iterator[str]:
        """The answer to a command, pipes applied. Raises UnreachableError."""
        self.was_refused = False
        try:
            command = grammar.parse(line)
        except GrammarError:
            command = None  # the daemon says what is wrong, in its own grammar
        if command is None or not command.pipes:
            yield from self._run(line)
            return
        chunks = self._run(command.text)
        try:
            yield from pipes.apply(command.pipes, self._texts(chunks))
        except _RefusedError as refusal:  # no answer to search or count
            yield str(refusal)
            yield from chunks

    def complete(self, text: str) -> Choices:
        """What can come next. Raises UnreachableError."""
        connection, _ = self._connect()
        connection.settimeout(_COMPLETE_TIMEOUT_S)
        with connection:
            for reply in self._replies(connection, Complete(_sendable(text))):
                if isinstance(reply, Choices):
                    return reply
                if isinstance(reply, Refused):
                    return Choices(len(text), (), reply.text.strip())
        raise UnreachableError(f"{self._path}: the firewall broke off")

    def _texts(self, chunks: Iterable[str]) -> Iterator[str]:
        for chunk in chunks:
            if self.was_refused:
                raise _RefusedError(chunk)
            yield chunk

    def _run(self, line: str) -> Iterator[str]:
        connection, _ = self._connect()
        try:
            for reply in _read_ahead(self._replies(connection, Run(_sendable(line)))):
                if isinstance(reply, End):
                    return
                if isinstance(reply, Refused):
                    self.was_refused = True
                    yield reply.text
                elif isinstance(reply, Text):
                    yield reply.text
        finally:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # the thread reading ahead ends with it
            connection.close()
        raise UnreachableError(f"{self._path}: the firewall broke off before the answer was whole")

    def _connect(self) -> tuple[socket.socket, Hello]:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_GREETING_TIMEOUT_S)
        try:
            connection.connect(str(self._path))
            with connection.makefile("rb", buffering=0) as file:
                reply = decode_reply(file.readline())
        except (OSError, msgspec.DecodeError) as error:
            connection.close()
            raise UnreachableError(self._advice(error)) from None
        if isinstance(reply, Hello):
            connection.settimeout(None)
            return connection, reply
        connection.close()
        reason = reply.text.strip() if isinstance(reply, Refused) else "no greeting"
        raise UnreachableError(f"{self._path}: {reason}")

    def _advice(self, error: Exception) -> str:
        if isinstance(error, PermissionError):
            advice = "permission denied; run this as root or as the user sixtuple run runs as"
        elif isinstance(error, FileNotFoundError | ConnectionRefusedError):
            advice = "nobody is answering; start sixtuple run or name its socket with --socket PATH"
        elif isinstance(error, OSError):
            advice = error.strerror or str(error)
        else:
            advice = "something answers that is not sixtuple run"
        return f"cannot connect to {self._path}: {advice}"

    def _replies(self, connection: socket.socket, request: Request) -> Iterator[Reply]:
        """Replies until the daemon has no more, or breaks off."""
        with contextlib.suppress(OSError):
            connection.sendall(encode(request))  # the reply says why, if it is not taken whole
        try:
            with connection.makefile("rb") as file:
                for line in file:
                    yield decode_reply(line)
        except (OSError, msgspec.DecodeError):
            return


def run_cli(socket_path: Path, commands: list[str]) -> int:
    """Runs the commands, else a prompt, or the lines of standard input; the exit status."""
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)  # what the terminal cannot say or show is no error
    client = Client(socket_path)
    try:
        if not commands and sys.stdin.isatty() and sys.stdout.isatty():
            from control.cli import terminal  # the prompt's libraries take their time to load

            return terminal.interact(client)
        return run_batch(client, commands or (line.rstrip("\n") for line in sys.stdin))
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return UNREACHABLE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # | head has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def run_batch(client: Client, commands: Iterable[str]) -> int:
    """Raises UnreachableError and BrokenPipeError."""
    status = OK
    for line in commands:
        if is_exit(line):
            break
        for chunk in client.run(line):
            sys.stdout.write(chunk)
            sys.stdout.flush()
        if client.was_refused:
            status = REFUSED
    return status


def is_exit(line: str) -> bool:
    try:
        command = grammar.parse(line)
    except GrammarError:
        return False
    return command is not None and command.name in ("exit", "quit")


def _sendable(text: str) -> str:
    """Text without the surrogates an argument that is not UTF-8 has."""
    return text.encode("utf-8", "replace").decode()


def _read_ahead(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Takes replies as fast as they come: somebody paging through them does not hold them up."""
    waiting: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()

    def take() -> None:
        for reply in replies:
            waiting.put(reply)
        waiting.put(None)

    threading.Thread(target=take, daemon=True).start()
    while (reply := waiting.get()) is not None:
        yield reply
