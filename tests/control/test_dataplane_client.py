"""The client against servers that answer, break off, talk nonsense and keep silent."""

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from control.dataplane_client import DataplaneClient
from control.management import DataplaneUnavailable
from dataplane.messages import (
    Done,
    Failed,
    GetCounters,
    GetSession,
    Reply,
    Request,
    SetRoutes,
    Stop,
)
from dataplane.snapshot import Route

LENGTH = struct.Struct("!I")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read(reader: asyncio.StreamReader) -> Request:
    (length,) = LENGTH.unpack(await reader.readexactly(4))
    request: Request = msgspec.msgpack.decode(await reader.readexactly(length), type=Request)
    return request


def write(writer: asyncio.StreamWriter, reply: Reply) -> None:
    body = msgspec.msgpack.encode(reply)
    writer.write(LENGTH.pack(len(body)) + body)


async def serve(
    path: Path, handler: Handler, test: Callable[[DataplaneClient], Awaitable[None]]
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    client = DataplaneClient(path, answer_s=0.2)
    async with await asyncio.start_unix_server(handle, str(path)):
        await test(client)
        await client.close()


def test_many_questions_at_once_get_their_own_answers(tmp_path: Path) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read(reader)
            assert isinstance(request, GetSession)
            write(writer, Done(request.id))

    async def test(client: DataplaneClient) -> None:
        replies = await asyncio.gather(*(client.ask(GetSession(n)) for n in range(50)))
        assert replies == [Done(n) for n in range(50)]
        assert await client.peer_pid() == os.getpid()

    asyncio.run(serve(tmp_path / "socket", handler, test))


def test_nobody_there(tmp_path: Path) -> None:
    async def test() -> None:
        client = DataplaneClient(tmp_path / "socket")
        for question in (client.ask(Stop()), client.peer_pid()):
            with pytest.raises(DataplaneUnavailable, match=r"^the dataplane is not running$"):
                await question

    asyncio.run(test())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(b"", "the dataplane is not running", id="breaks off"),
        pytest.param(b"\0\0", "the dataplane is not running", id="breaks off in a length"),
        pytest.param(b"\0\0\0\x05\x81", "the dataplane is not running", id="breaks off in a reply"),
        pytest.param(b"\0\0\0\1\xc1", "the dataplane answers nonsense", id="no msgpack"),
        pytest.param(b"\0\0\0\1\x01", "the dataplane answers nonsense", id="no reply"),
        pytest.param(b"\xff\xff\xff\xff", "the dataplane answers nonsense", id="too long"),
    ],
)
def test_after_a_bad_answer_the_next_question_is_answered(
    tmp_path: Path, answer: bytes, message: str
) -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read(reader)
        if connections == 1:
            writer.write(answer)
            return
        write(writer, Failed("no"))
        await read(reader)

    async def test(client: DataplaneClient) -> None:
        with pytest.raises(DataplaneUnavailable, match=message):
            await client.ask(GetCounters())
        assert await client.ask(GetCounters()) == Failed("no")

    asyncio.run(serve(tmp_path / "socket", handler, test))


def test_a_late_answer_is_nobody_elses(tmp_path: Path) -> None:
    """The second question must not get the first one's answer."""
    late = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read(reader)
            assert isinstance(request, GetSession)
            if request.id == 1:
                await late.wait()
            write(writer, Done(request.id))

    async def test(client: DataplaneClient) -> None:
        with pytest.raises(DataplaneUnavailable, match=r"^the dataplane does not answer$"):
            await client.ask(GetSession(1))
        late.set()
        assert await client.ask(GetSession(2)) == Done(2)

    asyncio.run(serve(tmp_path / "socket", handler, test))


def test_a_request_that_was_given_up_is_not_sent_on(tmp_path: Path) -> None:
    """What the server did not take in time must not reach it beside the next question."""
    wanted, second = asyncio.Event(), asyncio.Event()
    whole: list[Request] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_first = not wanted.is_set()
        wanted.set()
        if is_first:
            await second.wait()
        try:
            whole.append(await read(reader))
        finally:
            if not is_first:
                write(writer, Done())
                second.set()
            else:
                first_ended.set()

    first_ended = asyncio.Event()

    async def test(client: DataplaneClient) -> None:
        large = SetRoutes((Route("192.0.2.0/24", "unicast", "x" * (4 << 20)),))
        with pytest.raises(DataplaneUnavailable, match=r"^the dataplane does not answer$"):
            await client.ask(large)
        assert await client.ask(Stop()) == Done()
        await first_ended.wait()
        assert whole == [Stop()]

    asyncio.run(serve(tmp_path / "socket", handler, test))


def test_a_cancelled_question_leaves_no_answer_behind(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read(reader)
            assert isinstance(request, GetSession)
            arrived.set()
            await asyncio.sleep(0)
            write(writer, Done(request.id))

    async def test(client: DataplaneClient) -> None:
        question = asyncio.create_task(client.ask(GetSession(1)))
        await arrived.wait()
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        assert await client.ask(GetSession(2)) == Done(2)

    asyncio.run(serve(tmp_path / "socket", handler, test))
