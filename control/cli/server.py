"""The daemon's end of the command line: a Unix socket only administrators can open.

Bounded on every side: who may connect (the kernel says who asks), how many at once, how long a
request may be and take to arrive, how long an answer may wait for its reader. A client that
breaks a bound is dropped; nobody else notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Collection
from pathlib import Path

import msgspec

from control.cli.answers import Refusal
from control.cli.operations import Operations
from control.cli.protocol import (
    MAX_REQUEST_BYTES,
    End,
    Hello,
    Refused,
    Reply,
    Request,
    Run,
    Text,
    decode_request,
    encode,
)

MAX_CLIENTS = 16
REQUEST_TIMEOUT_S = 10.0  # for the request to arrive whole
READER_TIMEOUT_S = 30.0  # for a chunk of the answer to be taken


class CliSocketError(Exception):
    """The socket cannot be opened; the message is one line for whoever starts the daemon."""


class CliServer:
    def __init__(
        self,
        operations: Operations,
        path: Path,
        allowed_uids: Collection[int] | None = None,
    ) -> None:
        """Root and the daemon's own user may connect, unless told otherwise."""
        self._operations = operations
        self._path = path
        self._allowed_uids = (0, os.getuid()) if allowed_uids is None else allowed_uids
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """Raises CliSocketError."""
        try:
            listener = self._listen()
        except OSError as error:
            raise CliSocketError(f"CLI socket {self._path}: {error.strerror or error}") from None
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=MAX_REQUEST_BYTES
        )

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _listen(self) -> socket.socket:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_stale()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listener.fileno(), 0o600)  # before bind: the file never has another mode
            listener.bind(str(self._path))
            listener.listen()
            self._inode = self._path.stat().st_ino
        except OSError:
            listener.close()
            raise
        return listener

    def _remove_stale(self) -> None:
        """Takes away the socket of a run that crashed, and nothing else."""
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise CliSocketError(f"CLI socket {self._path}: there is a file in its place")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # a full backlog is somebody alive, too
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                self._path.unlink()
                return
            except BlockingIOError:
                pass
        raise CliSocketError(f"CLI socket {self._path}: another sixtuple run is answering there")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            refusal = self._refusal(writer)
            if refusal:
                writer.write(encode(Refused(refusal)))
                return
            self._clients.add(task)
            writer.transport.set_write_buffer_limits(high=0)  # drain: the kernel has it all
            await self._send(writer, Hello(self._operations.hostname))
            await self._answer(reader, writer)
            await self._send(writer, End())
        except (OSError, asyncio.CancelledError):
            # Gone, or not reading, or the firewall is being stopped: nothing left to say. The
            # cancellation ends here, as streams (of 3.11) would report it as an error of theirs.
            writer.transport.abort()
        finally:
            self._clients.discard(task)
            writer.close()

    def _refusal(self, writer: asyncio.StreamWriter) -> str:
        """Why this client is not served; "" where it is."""
        peer = writer.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        _, uid, _ = struct.unpack("3i", peer)
        if uid not in self._allowed_uids:
            allowed = ", ".join(str(one) for one in sorted(set(self._allowed_uids)))
            return f"user id {uid} may not use this firewall's command line, only {allowed} may\n"
        if len(self._clients) >= MAX_CLIENTS:
            return f"{MAX_CLIENTS} clients are connected already, try again in a moment\n"
        return ""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readline()
        except ValueError:  # how readline reports its limit
            limit = f"a command has at most {MAX_REQUEST_BYTES} bytes"
            await self._send(writer, Refused(f"{limit}\n"))
            return
        if not line:
            return
        try:
            request: Request = decode_request(line)
        except msgspec.DecodeError as error:
            await self._send(writer, Refused(f"not a request: {error}\n"))
            return
        if isinstance(request, Run):
            async with contextlib.aclosing(self._operations.run(request.command)) as chunks:
                async for chunk in chunks:
                    is_refusal = isinstance(chunk, Refusal)
                    await self._send(writer, Refused(str(chunk)) if is_refusal else Text(chunk))
        else:
            await self._send(writer, await self._operations.complete(request.text))

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        """Raises OSError (TimeoutError) where the client does not take it."""
        writer.write(encode(reply))
        async with asyncio.timeout(READER_TIMEOUT_S):
            await writer.drain()
