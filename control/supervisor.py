"""Keeps one dataplane process running: finds the one that is left, starts it, restarts it.

The dataplane is a process of its own that outlives the management process. A successor finds it
through its socket and takes it over as it runs, if it was started in the same way; otherwise it is
replaced. A platform it does not emulate is no reason to lose its sessions: that is for its next
start. It is watched through a pidfd, because after a takeover it is nobody's child here.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from control import state_dir
from control.dataplane_client import DataplaneClient
from control.management import DataplaneUnavailable
from dataplane.messages import GetStatus, Status, Stop

DATAPLANE = (sys.executable, "-m", "dataplane.process")

_BACKOFF_S = 0.1, 5.0
_SETTLED_S = 10.0  # one that ran so long starts the backoff over
_START_S = 15.0
_POLL_S = 0.02
_END_S = 5.0

LOG = logging.getLogger(__name__)


class DataplaneError(Exception):
    """The dataplane does not start; the message is one line."""


class _Process:
    """A process by pidfd; `child` where we started it and have to reap it."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._child = child
        self._fd = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._end)

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    async def ended(self) -> str:
        """Waits for the end and says how it came."""
        await self._ended.wait()
        if self._child is None:
            return "ended"
        status = self._child.returncode
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended: {status}"

    async def terminate(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._ended.is_set():
                signal.pidfd_send_signal(self._fd, number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _END_S)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        if self._child is not None:
            self._child.wait()
        self._ended.set()


class Supervisor:
    def __init__(
        self,
        directory: Path,
        client: DataplaneClient,
        *,
        io: str,
        queue: int,
        platform: str,
        logs: Path,
        program: Sequence[str] = DATAPLANE,
    ) -> None:
        self._directory = directory
        self._client = client
        self._socket = directory / state_dir.DATAPLANE_SOCKET
        traffic, threat = logs / state_dir.TRAFFIC_LOG, logs / state_dir.THREAT_LOG
        named = ("--log", traffic, "--threat-log", threat)
        options = ("--socket", self._socket, *named, "--io", io, "--queue", queue)
        self._command = [*program, *map(str, options)]  # and the platform
        self._platform = platform
        self._process: _Process | None = None

    @property
    def pid(self) -> int:
        """0 while there is none."""
        return 0 if self._process is None or self._process.has_ended else self._process.pid

    async def start(self) -> bool:
        """Takes over a dataplane that runs (True), or starts one. Raises DataplaneError."""
        if await self._attach():
            return True
        await self._launch()
        return False

    async def run(self, on_restart: Callable[[], Awaitable[None]]) -> None:
        """Restarts the dataplane whenever it ends, until cancelled."""
        loop = asyncio.get_running_loop()
        backoff_s = _BACKOFF_S[0]
        while self._process is not None:
            watched_since = loop.time()
            how = await self._process.ended()
            await self._client.close()
            LOG.error("dataplane %d %s; starting it again", self._process.pid, how)
            if loop.time() - watched_since > _SETTLED_S:
                backoff_s = _BACKOFF_S[0]
            launched = False
            while not launched:
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _BACKOFF_S[1])
                try:
                    await self._launch()
                    launched = True
                except DataplaneError as error:
                    LOG.error("%s", error)
            LOG.warning("dataplane runs again, pid %d", self._process.pid)
            await on_restart()

    async def stop(self) -> None:
        """Ends the dataplane."""
        if self._process is None or self._process.has_ended:
            return
        with contextlib.suppress(DataplaneUnavailable, TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._client.ask(Stop())
                await self._process.ended()
        await self._process.terminate()
        await self._client.close()

    async def _attach(self) -> bool:
        try:
            process = _Process(await self._client.peer_pid())
        except (DataplaneUnavailable, ProcessLookupError):
            return False  # none, or gone in this moment
        self._process = process
        if self._started_with() == self._command:
            with contextlib.suppress(DataplaneUnavailable):
                status = await self._client.ask(GetStatus())
                if isinstance(status, Status):
                    self._report_platform(status)
                    return True
        LOG.warning("dataplane %d was started differently or hangs: replacing it", process.pid)
        await self.stop()
        return False

    def _report_platform(self, status: Status) -> None:
        if status.platform != self._platform:
            LOG.warning(
                "dataplane %d emulates platform %s and goes on so; %s is for its next start",
                status.pid,
                status.platform,
                self._platform,
            )

    async def _launch(self) -> None:
        command_file = self._directory / state_dir.DATAPLANE_COMMAND
        stderr_file = self._directory / state_dir.DATAPLANE_STDERR
        try:
            self._socket.unlink(missing_ok=True)
            with open(command_file, "w", opener=state_dir.no_follow) as command:
                json.dump(self._command, command)
            with open(stderr_file, "wb", opener=state_dir.no_follow) as stderr:
                child = subprocess.Popen(
                    [*self._command, "--platform", self._platform],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,  # what ends us (a terminal, its ^C) does not end it
                )
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            raise DataplaneError(f"cannot start the dataplane: {what}") from None
        self._process = process = _Process(child.pid, child)
        try:
            async with asyncio.timeout(_START_S):
                while not await self._answers():
                    if process.has_ended:
                        how = await process.ended()
                        raise DataplaneError(f"the dataplane does not start: {self._said() or how}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self.stop()
            raise DataplaneError(f"the dataplane is not up after {_START_S:.0f} s") from None

    async def _answers(self) -> bool:
        try:
            await self._client.ask(GetStatus())
        except DataplaneUnavailable:
            return False
        return True

    def _started_with(self) -> object:
        try:
            return json.loads((self._directory / state_dir.DATAPLANE_COMMAND).read_bytes())
        except (OSError, ValueError):
            return None

    def _said(self) -> str:
        """The last line it wrote to its standard error."""
        try:
            text = (self._directory / state_dir.DATAPLANE_STDERR).read_text(errors="replace")
        except OSError:
            return ""
        return next((line for line in reversed(text.splitlines()) if line.strip()), "").strip()
