"""Asks the dataplane process: requests and replies of dataplane/messages.py over its Unix socket.

One request at a time, in order. A connection that broke, or on which an answer did not come in
time, is closed; the next question opens a new one.
"""

import asyncio
import socket
import struct
from pathlib import Path

import msgspec

from control.management import DataplaneUnavailable
from dataplane.messages import MAX_MESSAGE_BYTES, Reply, Request

_LENGTH = struct.Struct("!I")
_PEER = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_ANSWER_S = 10.0

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


class DataplaneClient:
    def __init__(self, path: Path, *, answer_s: float = _ANSWER_S) -> None:
        self._path = path
        self._answer_s = answer_s
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request) -> Reply:
        """Raises DataplaneUnavailable."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._answer_s):
                    reader, writer = await self._connect()
                    return await self._exchange(reader, writer, request)
            except TimeoutError:
                self._close()
                raise DataplaneUnavailable("the dataplane does not answer") from None
            except (OSError, asyncio.IncompleteReadError):
                self._close()
                raise DataplaneUnavailable("the dataplane is not running") from None
            except msgspec.MsgspecError as error:
                self._close()
                raise DataplaneUnavailable(f"the dataplane answers nonsense: {error}") from None
            except asyncio.CancelledError:
                self._close()  # an answer may still be on its way
                raise

    async def peer_pid(self) -> int:
        """The process that listens on the socket. Raises DataplaneUnavailable."""
        async with self._turn:
            try:
                _, writer = await self._connect()
            except OSError:
                raise DataplaneUnavailable("the dataplane is not running") from None
            connected: socket.socket = writer.get_extra_info("socket")
            credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
            pid: int = _PEER.unpack(credentials)[0]
            return pid

    async def close(self) -> None:
        async with self._turn:
            self._close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(str(self._path))
        return self._streams

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request
    ) -> Reply:
        body = _encoder.encode(request)
        if len(body) > MAX_MESSAGE_BYTES:
            raise DataplaneUnavailable(f"a request of {len(body)} bytes is more than it takes")
        writer.write(_LENGTH.pack(len(body)) + body)
        await writer.drain()
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_MESSAGE_BYTES:
            self._close()
            raise DataplaneUnavailable(f"the dataplane answers nonsense: {length} bytes")
        return _decoder.decode(await reader.readexactly(length))

    def _close(self) -> None:
        if self._streams is not None:
            # Not close: that would go on sending a request behind the next connection's.
            self._streams[1].transport.abort()
            self._streams = None
