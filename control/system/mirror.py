"""Keeps a copy of something the kernel has, read again when the kernel says that it changed.

The notification is only taken as "look again", never as the change itself: the kernel does not tell
everything (routes that vanish with their link), and a socket that overflowed has lost messages. A
whole read is right in every case.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from control.system.errors import KernelError

# linux/rtnetlink.h: RTMGRP_...
LINKS = 0x1
NEIGHBORS = 0x4
ADDRESSES = 0x10 | 0x100
ROUTES = 0x40 | 0x400

_NETLINK_ROUTE = 0
_SETTLE_S = 0.05  # changes come in groups
_DUTY = 4  # a slow read is followed by a pause of so many times its length

_RETRY_S = 1.0
_MAX_DRAINED = 256  # notifications at once, so that a flood does not hold the loop

LOG = logging.getLogger(__name__)

T = TypeVar("T")


class Mirror(Generic[T]):
    """`read` runs in a thread; `changed` is awaited with every value that differs from the last."""

    def __init__(
        self, groups: int, read: Callable[[], T], changed: Callable[[T], Awaitable[None]]
    ) -> None:
        self._groups = groups
        self._read = read
        self._changed = changed
        self._stale = asyncio.Event()
        self._handled = asyncio.Event()
        self._failure = ""
        self._value: T | None = None

    def refresh(self) -> None:
        """Looks again soon."""
        self._stale.set()

    async def ready(self) -> None:
        """Waits until the first value was handled."""
        await self._handled.wait()

    async def run(self) -> None:
        """Follows the kernel until cancelled."""
        loop = asyncio.get_running_loop()
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_ROUTE
        ) as notifications:
            # Listening comes before the first read, so that nothing happens in between.
            notifications.bind((0, self._groups))
            loop.add_reader(notifications, self._drain, notifications)
            try:
                while True:
                    started = loop.time()
                    await self._look()
                    took_s = loop.time() - started
                    await asyncio.sleep(max(_SETTLE_S, _DUTY * took_s))
                    await self._stale.wait()
                    self._stale.clear()
            finally:
                loop.remove_reader(notifications)

    async def _look(self) -> None:
        try:
            value = await asyncio.to_thread(self._read)
        except (OSError, KernelError) as error:
            if str(error) != self._failure:
                LOG.warning("cannot follow the kernel's tables: %s", error)
            self._failure = str(error)
            self._stale.set()
            await asyncio.sleep(_RETRY_S)
            return
        self._failure = ""
        if value != self._value:
            self._value = value
            await self._changed(value)
        self._handled.set()

    def _drain(self, notifications: socket.socket) -> None:
        self._stale.set()
        for _ in range(_MAX_DRAINED):
            try:
                notifications.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # messages were lost, which is all the same here
                    raise
