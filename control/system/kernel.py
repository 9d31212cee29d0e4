"""The kernel's side as a whole: configured, opened for traffic, followed, closed.

Order is what keeps it closed: a port takes part in nothing before its packets go to the queue, and
forwarding is on only while the hook is in place.

    configure: hook, sysctls, links, addresses
    look:      links and routes, static routes
    open:      forwarding on
    close:     forwarding off, static routes and addresses away, hook out, sysctls as they were

A firewall that is stopped has no address left by which the machine behind it could be reached.

Everything here blocks; one thing is done at a time.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from control.management import Neighbor
from control.system import hook, links, neighbors, routes, sysctls
from control.system.errors import KernelError
from control.system.netlink import KernelRoute, Link, Netlink
from control.system.remembered import Remembered
from control.system.routes import StaticRoute
from dataplane.snapshot import Port


class KernelState(NamedTuple):
    ports: dict[int, str]  # names by the index of the link behind them
    links: list[Link]
    routes: list[KernelRoute]
    refused: list[str]  # a line for each static route that is not in force


class Kernel:
    def __init__(self, queue: int, directory: Path) -> None:
        """What a successor has to know is kept in the directory."""
        self._queue = queue
        # Values from before the first start, and the interfaces that have our addresses.
        self._sysctls = Remembered(directory / "sysctls.json", dict[str, str], {})
        self._interfaces = Remembered(directory / "interfaces.json", list[str], [])
        self._ports: tuple[Port, ...] = ()
        self._static_routes: tuple[StaticRoute, ...] = ()
        self._configured: dict[int, Port] = {}  # by the index of the link it was done to
        self._is_closed = False
        self._turn = threading.Lock()

    def configure(
        self,
        ports: tuple[Port, ...],
        static_routes: tuple[StaticRoute, ...],
        *,
        fail_open: bool = False,
    ) -> None:
        """Brings hook, links, addresses and sysctls into this state. Raises KernelError.

        Static routes follow with the next look. With fail_open, packets that passed a full queue
        unseen may leave by any port.
        """
        with self._open_turn(), Netlink() as netlink:
            interfaces = [port.interface for port in ports]
            gone = sorted(set(self._interfaces.get()).difference(interfaces))
            self._interfaces.set([*interfaces, *gone])  # nothing is touched that is not written
            try:
                links.release(netlink, gone)
                self._interfaces.set(interfaces)
                zones = {port.interface: port.zone for port in ports}
                hook.install(zones, self._queue, fail_open=fail_open)
                self._ports, self._static_routes = ports, static_routes
                self._configure(netlink)
            except OSError as error:
                raise KernelError(error.strerror or str(error)) from error

    def open(self) -> None:
        """Lets traffic pass, through the dataplane alone. Raises KernelError."""
        with self._open_turn():
            sysctls.set_forwarding(True)

    def close(self) -> list[str]:
        """Lets nothing pass any more and takes everything out. Returns what did not work."""
        failures = []
        with self._turn:
            self._is_closed = True
            steps = [self._release_all, hook.remove, self._restore_sysctls]
            try:
                sysctls.set_forwarding(False)
            except KernelError as error:
                # Still forwarding: the hook stays, so that packets are dropped in the queue.
                failures.append(str(error))
                steps.remove(hook.remove)
            for step in steps:
                try:
                    step()
                except KernelError as error:
                    failures.append(str(error))
        return failures

    def look(self) -> KernelState:
        """Reads links and routes. A port's link that came back is configured again, and static
        routes that went with a link are put back."""
        with self._open_turn(), Netlink() as netlink:
            state, todo = self._read(netlink)
            if state.ports != {index: port.name for index, port in self._configured.items()}:
                self._configure(netlink)
                state, todo = self._read(netlink)
            if not todo.is_empty:
                refused = routes.carry_out(netlink, todo)
                if todo.delete or len(refused) < len(todo.refused) + len(todo.add):
                    state, _ = self._read(netlink)
                state = state._replace(refused=refused)
            return state

    def neighbors(self) -> list[Neighbor]:
        with Netlink() as netlink:
            ports = links.indices(self._ports, netlink.links())
            return neighbors.mirror(netlink.neighbors(), ports)

    @contextmanager
    def _open_turn(self) -> Iterator[None]:
        """A turn, unless it was closed in the meantime: what came late must not open it again."""
        with self._turn:
            if self._is_closed:
                raise KernelError("the firewall is being stopped")
            yield

    def _configure(self, netlink: Netlink) -> None:
        ports = {port.name: port for port in self._ports}
        indices = links.indices(self._ports, netlink.links())
        found = {index: ports[name] for index, name in indices.items()}
        lost = {index: port for index, port in self._configured.items() if index not in found}
        links.take_back(netlink, lost)  # a link of another name now has no rule of the hook
        sysctls.apply(found.values(), self._sysctls)
        links.configure(netlink, found.values())
        self._configured = found

    def _read(self, netlink: Netlink) -> tuple[KernelState, routes.Plan]:
        present, table = netlink.links(), netlink.routes()
        todo = routes.plan(self._static_routes, present, table)
        ports = links.indices(self._ports, present)
        return KernelState(ports, present, table, todo.refused), todo

    def _release_all(self) -> None:
        try:
            with Netlink() as netlink:
                routes.carry_out(netlink, routes.plan([], [], netlink.routes()))
                links.take_back(netlink, self._configured)
                links.release(netlink, self._interfaces.get())
                self._interfaces.forget()
        except OSError as error:
            raise KernelError(error.strerror or str(error)) from error

    def _restore_sysctls(self) -> None:
        sysctls.restore(self._sysctls)
