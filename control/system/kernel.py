"""The kernel's side as a whole: configured, opened for traffic, followed, closed.

Order is what keeps it closed: a port takes part in nothing before its packets go to the queue, and
forwarding is on only while the hook is in place. Bridges need no forwarding: they are there only
while the hook is.

    configure: hook, links of the modes, sysctls, bridges and addresses, shaping, proxies
    look:      links and routes; rules, static routes and paths
    open:      forwarding on
    close:     forwarding off, bridges away, routes, rules and addresses too, hook out, sysctls as
               they were

A firewall that is stopped has no address left by which the machine behind it could be reached.

Everything here blocks; one thing is done at a time.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path as FilePath
from typing import NamedTuple

from control.management import Neighbor, QosClassStatus
from control.system import (
    fib,
    frames,
    hook,
    links,
    modes,
    neighbors,
    paths,
    proxies,
    qos,
    routes,
    sysctls,
    tables,
)
from control.system.errors import KernelError
from control.system.netlink import KernelRoute, Link, Netlink
from control.system.paths import Pair
from control.system.proxies import Proxies
from control.system.remembered import Remembered
from control.system.routes import StaticRoute, Wanted
from dataplane.snapshot import Path, Port, Route, Snapshot

_ROUNDS = 5  # what is put in place may call for more: a route with several next hops for paths


class KernelState(NamedTuple):
    ports: dict[int, str]  # names by the index of the link behind them
    links: list[Link]
    routes: list[KernelRoute]
    refused: list[str]  # a line for each static route or path that is not in force
    fib: tuple[Route, ...] = ()  # the routes as the dataplane sees them
    paths: tuple[Path, ...] = ()  # those in force, without link-layer addresses


class Kernel:
    def __init__(self, queue: int, directory: FilePath, opening_queue: int | None = None) -> None:
        """Segments that open TCP connections go to `opening_queue`, where there is one.

        What a successor has to know is kept in the directory.
        """
        self._queue = queue
        self._opening_queue = opening_queue
        # Values from before the first start, and the interfaces that have our addresses.
        self._sysctls = Remembered(directory / "sysctls.json", dict[str, str], {})
        self._interfaces = Remembered(directory / "interfaces.json", list[str], [])
        self._made = Remembered(directory / "links.json", list[str], [])
        self._loopback = Remembered(directory / "loopback.json", list[str], [])
        self._numbers = paths.Numbers(Remembered(directory / "paths.json", list[Pair], []))
        self._snapshot: Snapshot | None = None
        self._static_routes: tuple[StaticRoute, ...] = ()
        self._proxies = Proxies({})
        self._configured: dict[int, Port] = {}  # by the index of the link it was done to
        self._is_closed = False
        self._turn = threading.Lock()

    def configure(self, snapshot: Snapshot, static_routes: tuple[StaticRoute, ...]) -> list[str]:
        """Brings hook, links, addresses and sysctls into this state. Raises KernelError.

        Rules, routes and paths follow with the next look. Returns what cannot be done, a line each.
        """
        ports = snapshot.ports
        with self._open_turn(), Netlink() as netlink:
            wanted = proxies.wanted(ports, snapshot.nat_rules)
            interfaces = sorted(
                {*(port.interface for port in ports if port.mode != "loopback")}
                | {port.parent for port in ports if port.parent}
            )
            gone = sorted(set(self._interfaces.get()).difference(interfaces))
            self._interfaces.set([*interfaces, *gone])  # nothing is touched that is not written
            try:
                self._release(netlink, gone)
                self._interfaces.set(interfaces)
                self._install_hook(snapshot)
                self._snapshot, self._static_routes = snapshot, static_routes
                self._proxies = wanted
                self._configure(netlink)
            except OSError as error:
                raise KernelError(error.strerror or str(error)) from error
        if not wanted.left:
            return []
        return [
            f"{wanted.left} translated addresses are not answered for on their link: "
            f"{proxies.MOST} are the most"
        ]

    def open(self) -> None:
        """Lets traffic pass, through the dataplane alone. Raises KernelError."""
        with self._open_turn():
            sysctls.set_forwarding(True)

    def close(self) -> list[str]:
        """Lets nothing pass any more and takes everything out. Returns what did not work."""
        with self._turn:
            self._is_closed = True
            failures = _failures(self._stop_forwarding, self._remove_links)
            # What still forwards keeps the hook, so that packets are dropped in the queue.
            unhook = [] if failures else [hook.remove, frames.remove]
            failures += _failures(self._release_all, *unhook, self._restore_sysctls)
        return failures

    def look(self) -> KernelState:
        """Reads links and routes. A port's link that came back is configured again, and routes and
        rules that went with a link are put back."""
        with self._open_turn(), Netlink() as netlink:
            for _ in range(_ROUNDS):
                state, has_changed = self._bring_in_step(netlink)
                if not has_changed:
                    break
            return state

    def neighbors(self) -> list[Neighbor]:
        with Netlink() as netlink:
            ports = links.indices(self._ports, netlink.links())
            return neighbors.mirror(netlink.neighbors(), ports)

    def resolve(self, hops: Iterable[Pair]) -> None:
        """Has the kernel find out the link-layer addresses of next hops, by port.

        Those it knows it keeps: asked for, an entry an administrator has made would be gone.
        """
        with Netlink() as netlink:
            ports = links.indices(self._ports, netlink.links())
            indices = {name: index for index, name in ports.items()}
            known = {(one.ifindex, one.address) for one in netlink.neighbors() if one.mac}
            for port, nexthop in hops:
                index = indices.get(port)
                if index and (index, nexthop) not in known:
                    with suppress(OSError):  # its link is down
                        netlink.resolve(index, nexthop)

    def qos_classes(self, name: str) -> list[QosClassStatus]:
        """What the classes of a port have counted; none where nothing is shaped. Raises OSError."""
        with Netlink() as netlink:
            for index, port in self._found(netlink.links()).items():
                if port.name == name:
                    return qos.status(netlink, port, index)
        return []

    def refused_frames(self) -> dict[str, int]:
        """How many frames each zone's list of Ethernet types has kept out. Raises OSError."""
        if self._snapshot is None:
            return {}
        try:
            return frames.dropped(frames.filters(self._snapshot))
        except KernelError as error:
            raise OSError(0, str(error)) from error

    @property
    def _ports(self) -> tuple[Port, ...]:
        return self._snapshot.ports if self._snapshot else ()

    @contextmanager
    def _open_turn(self) -> Iterator[None]:
        """A turn, unless it was closed in the meantime: what came late must not open it again."""
        with self._turn:
            if self._is_closed:
                raise KernelError("the firewall is being stopped")
            yield

    def _install_hook(self, snapshot: Snapshot) -> None:
        ports = snapshot.ports
        routers = {router.name for router in snapshot.virtual_routers if router.multicast}
        bridges = modes.bridges(ports)
        frames.install(sorted(modes.bridged(ports)), frames.filters(snapshot))
        hook.install(
            modes.zones(ports),
            self._queue,
            opening_queue=self._opening_queue,
            bridges=[name for bridge in bridges for name in (bridge.name, bridge.far) if name],
            multicast=[port.interface for port in ports if port.virtual_router in routers],
            tunnels=[port.interface for port in ports if port.tunnel],
            is_shaped=any(port.qos for port in ports),
            fail_open=snapshot.fail_open,
        )

    def _found(self, present: Iterable[Link]) -> dict[int, Port]:
        ports = {port.name: port for port in self._ports}
        indices = links.indices(self._ports, present)
        return {index: ports[name] for index, name in indices.items()}

    def _configure(self, netlink: Netlink) -> None:
        ports = self._ports
        modes.make(netlink, ports, self._made)
        present = netlink.links()
        found = self._found(present)
        lost = {index: port for index, port in self._configured.items() if index not in found}
        links.take_back(netlink, lost)  # a link of another name now has no rule of the hook
        sysctls.apply(
            [port for port in found.values() if port.mode in modes.ROUTED],
            self._sysctls,
            quiet=modes.quiet(ports).intersection(link.name for link in present),
            loopback=[one for port in ports if port.mode == "loopback" for one in port.addresses],
            has_bridges=bool(modes.bridges(ports)),
        )
        own = self._own_tables()
        unrouted = {port.name for port in ports if port.virtual_router in own}
        links.configure(netlink, found.values(), unrouted)
        links.configure_loopback(netlink, ports, self._loopback)
        for index, port in found.items():
            qos.configure(netlink, port, index)
        names = {index: port.name for index, port in found.items()}
        proxies.configure(netlink, self._proxies.addresses, names)
        self._configured = found

    def _own_tables(self) -> dict[str, int]:
        return tables.of_routers(self._snapshot.virtual_routers) if self._snapshot else {}

    def _bring_in_step(self, netlink: Netlink) -> tuple[KernelState, bool]:
        """What there is; and whether something was changed since."""
        state = self._read(netlink)
        if self._snapshot is None:
            return state, False
        configured = {index: port.name for index, port in self._configured.items()}
        by_name = {link.name: link for link in state.links}
        if state.ports != configured or not modes.are_in_place(self._ports, by_name):
            self._configure(netlink)
            return state, True
        unnumbered = self._number_paths(state)
        state = state._replace(paths=self._numbers.paths(self._ports))
        own = self._own_tables()
        proxied = proxies.routes(self._proxies, state.links)
        asked = proxies.interfaces(self._proxies.addresses, self._ports)
        has_changed = tables.carry_out(
            netlink,
            tables.rules(self._ports, own, [path.number for path in state.paths], asked),
        )
        todo = self._plan(state, own, proxied)
        refused = routes.carry_out(netlink, todo)
        has_changed |= bool(todo.delete) or len(refused) < len(todo.refused) + len(todo.add)
        return state._replace(refused=refused + unnumbered), has_changed

    def _number_paths(self, state: KernelState) -> list[str]:
        """Gives numbers to the paths that are needed now; what found none, a line each."""
        assert self._snapshot
        try:
            left = self._numbers.give(paths.wanted(self._snapshot, state.fib))
        except KernelError as error:  # a successor would not know what they mean
            return [f"new paths are not used: {error}"]
        return [
            f"no number is left for the path by {port} to {nexthop or 'its link'}: "
            f"{paths.HIGHEST} are the most"
            for port, nexthop in left
        ]

    def _plan(
        self, state: KernelState, own: dict[str, int], proxied: list[KernelRoute]
    ) -> routes.Plan:
        assert self._snapshot
        with_end = {*own.values(), *(tables.of_path(path.number) for path in state.paths)}
        interfaces = {port.name: port.interface for port in self._ports}
        return routes.plan(
            self._static_routes,
            state.links,
            state.routes,
            ports=self._ports,
            routers=self._snapshot.virtual_routers,
            others=[
                *(Wanted("the end of a table", route) for route in tables.ends(with_end)),
                *routes.connected(self._ports, own, state.links),
                *routes.ways(state.paths, interfaces, state.links),
                *(Wanted("translated addresses", route) for route in proxied),
            ],
        )

    def _read(self, netlink: Netlink) -> KernelState:
        present, table = netlink.links(), netlink.routes()
        ports = links.indices(self._ports, present)
        routers = self._snapshot.virtual_routers if self._snapshot else ()
        mirrored = fib.mirror(table, ports, self._ports, routers)
        return KernelState(ports, present, table, [], mirrored)

    def _stop_forwarding(self) -> None:
        sysctls.set_forwarding(False)

    def _remove_links(self) -> None:
        try:
            with Netlink() as netlink:
                modes.remove(netlink, self._made)
        except OSError as error:
            raise KernelError(error.strerror or str(error)) from error

    def _release(self, netlink: Netlink, interfaces: Collection[str]) -> None:
        """Takes everything off interfaces that are behind a port no more."""
        released = {link.ifindex: "" for link in netlink.links() if link.name in interfaces}
        links.release(netlink, interfaces)
        proxies.configure(netlink, {}, released)
        for index in released:
            qos.remove(netlink, index)

    def _release_all(self) -> None:
        try:
            with Netlink() as netlink:
                routes.carry_out(netlink, routes.plan([], [], netlink.routes()))
                tables.carry_out(netlink, ())
                links.take_back(netlink, self._configured)
                self._release(netlink, self._interfaces.get())
                self._interfaces.forget()
                links.release_loopback(netlink, self._loopback)
                self._numbers.forget()
        except OSError as error:
            raise KernelError(error.strerror or str(error)) from error

    def _restore_sysctls(self) -> None:
        sysctls.restore(self._sysctls)


def _failures(*steps: Callable[[], None]) -> list[str]:
    """Takes every step; what did not work, a line each."""
    failures = []
    for step in steps:
        try:
            step()
        except KernelError as error:
            failures.append(str(error))
    return failures
