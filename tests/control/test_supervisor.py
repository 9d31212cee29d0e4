"""The life of the dataplane process, with one that touches no packet."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from control.dataplane_client import DataplaneClient
from control.supervisor import DataplaneError, Supervisor
from tests.support.private import ROOT

FAKE = (sys.executable, "-m", "tests.support.fake_dataplane")


class Bench:
    """A state directory and what a management process has in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.restarts: asyncio.Queue[int] = asyncio.Queue()
        self._clients: list[DataplaneClient] = []

    def supervisor(self, *, queue: int = 6, platform: str = "pa-5000") -> Supervisor:
        client = DataplaneClient(self.directory / "dataplane.sock", answer_s=0.5)
        self._clients.append(client)
        return Supervisor(
            self.directory,
            client,
            io="fake",
            queue=queue,
            platform=platform,
            logs=self.directory,
            program=FAKE,
        )

    async def management_dies(self) -> None:
        """Its connections go with it."""
        for client in self._clients:
            await client.close()

    @contextlib.asynccontextmanager
    async def running(self, supervisor: Supervisor) -> AsyncIterator[None]:
        async def note() -> None:
            await self.restarts.put(supervisor.pid)

        task = asyncio.create_task(supervisor.run(note))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await supervisor.stop()

    def started(self) -> list[int]:
        return [int(str(entry["start"])) for entry in self.journal() if "start" in entry]

    def journal(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.directory / "journal").read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    bench = Bench(tmp_path)
    yield bench
    if (tmp_path / "journal").exists():
        for pid in bench.started():
            with contextlib.suppress(ProcessLookupError):  # where the test did its work
                os.kill(pid, signal.SIGKILL)


def check(test: Callable[[], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_start_and_stop(bench: Bench) -> None:
    async def test() -> None:
        supervisor = bench.supervisor()
        assert not await supervisor.start()
        pid = supervisor.pid
        assert is_alive(pid)
        await supervisor.stop()
        assert (supervisor.pid, is_alive(pid)) == (0, False)
        assert [entry.get("request") for entry in bench.journal()][-1] == "Stop"

    check(test)


def test_one_that_dies_is_started_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        supervisor = bench.supervisor()
        await supervisor.start()
        async with bench.running(supervisor):
            for _ in range(2):
                before = supervisor.pid
                os.kill(before, signal.SIGKILL)
                after = await bench.restarts.get()
                assert after == supervisor.pid != before
                assert f"dataplane {before} killed by SIGKILL; starting it again" in caplog.text

    check(test)


def test_one_that_is_left_is_taken_over(bench: Bench) -> None:
    async def test() -> None:
        first, second = bench.supervisor(), bench.supervisor()
        await first.start()
        await bench.management_dies()
        assert await second.start()
        assert second.pid == first.pid
        async with bench.running(second):
            os.kill(first.pid, signal.SIGKILL)
            assert await bench.restarts.get() != first.pid
        assert len(bench.started()) == 2

    check(test)


def test_another_platform_is_for_the_next_start(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        first, second = bench.supervisor(), bench.supervisor(platform="pa-7000")
        await first.start()
        await bench.management_dies()
        assert await second.start()
        (said,) = caplog.messages
        assert said == (
            f"dataplane {first.pid} emulates platform pa-5000 and goes on so; "
            "pa-7000 is for its next start"
        )
        async with bench.running(second):
            os.kill(first.pid, signal.SIGKILL)
            await bench.restarts.get()
            caplog.clear()
            await bench.management_dies()
            third = bench.supervisor(platform="pa-7000")
            assert await third.start()
            assert not caplog.messages
            await bench.management_dies()

    check(test)


@pytest.mark.parametrize("difference", ["queue", "mute", "no record"])
def test_one_that_cannot_be_used_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, difference: str
) -> None:
    async def test() -> None:
        first, second = (
            bench.supervisor(),
            bench.supervisor(queue=7 if difference == "queue" else 6),
        )
        await first.start()
        if difference == "mute":
            await first.stop()
            monkeypatch.setenv("FAKE_DATAPLANE", "mute")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(first.start(), 1)
            monkeypatch.delenv("FAKE_DATAPLANE")
        if difference == "no record":
            (bench.directory / "dataplane.json").unlink()
        old = first.pid
        assert is_alive(old)
        await bench.management_dies()
        assert not await second.start()
        assert second.pid not in (0, old)
        assert first.pid == 0
        await second.stop()

    monkeypatch.setattr("control.supervisor._END_S", 0.2)
    check(test)


def test_one_that_does_not_start_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        with pytest.raises(DataplaneError, match=r"^the dataplane does not start: queue is taken$"):
            await bench.supervisor().start()

    monkeypatch.setenv("FAKE_DATAPLANE", "refuse-start")
    check(test)


def test_a_program_that_is_not_there(bench: Bench) -> None:
    async def test() -> None:
        client = DataplaneClient(bench.directory / "dataplane.sock")
        supervisor = Supervisor(
            bench.directory,
            client,
            io="x",
            queue=1,
            platform="pa-5000",
            logs=bench.directory,
            program=("/nowhere/x",),
        )
        with pytest.raises(
            DataplaneError, match=r"^cannot start the dataplane: /nowhere/x: No such"
        ):
            await supervisor.start()

    check(test)


def test_it_is_tried_again_until_it_starts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        supervisor = bench.supervisor()
        await supervisor.start()
        monkeypatch.setenv("FAKE_DATAPLANE", "refuse-start")
        async with bench.running(supervisor):
            os.kill(supervisor.pid, signal.SIGKILL)
            while caplog.text.count("queue is taken") < 2:
                await asyncio.sleep(0.01)
            monkeypatch.delenv("FAKE_DATAPLANE")
            assert await bench.restarts.get() == supervisor.pid

    with caplog.at_level(logging.ERROR):
        check(test)


def test_it_is_in_a_session_of_its_own(bench: Bench) -> None:
    """What ends the management process by its terminal or its process group leaves it alone."""

    async def test() -> None:
        supervisor = bench.supervisor()
        await supervisor.start()
        assert os.getsid(supervisor.pid) == supervisor.pid
        await supervisor.stop()

    check(test)
