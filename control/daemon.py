"""The management process: holds the configuration, keeps dataplane and kernel in step with it, and
answers administrators.

Start: configuration, machine, state directory, dataplane (found or started), kernel, forwarding,
and the CLI last. Nothing is touched before the first three are right. When this process dies the
dataplane goes on alone, the hook stays, and the next start takes both over; an orderly stop leaves
neither.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Coroutine, Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from control import candidate, service_manager, state_dir
from control.cli.operations import Operations
from control.cli.server import CliServer, CliSocketError
from control.config.compile import compile_snapshot
from control.config.errors import ConfigError
from control.config.load import (
    LoadedConfig,
    UnreadableError,
    hostname,
    static_routes,
)
from control.config.tree import Tree
from control.dataplane_client import DataplaneClient
from control.management import (
    CommitError,
    Committed,
    DataplaneUnavailable,
    InterfaceStatus,
    Loaded,
    Neighbor,
    QosClassStatus,
)
from control.state_dir import Locks, StateDirError
from control.supervisor import DATAPLANE, DataplaneError, Supervisor
from control.system import checks, fib, links, mirror, monitor
from control.system.errors import KernelError
from control.system.kernel import Kernel, KernelState
from control.system.mirror import Mirror
from control.system.monitor import Monitors
from control.system.netlink import Netlink
from control.system.routes import StaticRoute
from control.version import version
from dataplane.messages import Configure, Failed, Reply, Request, SetPaths, SetRoutes
from dataplane.snapshot import Route, Snapshot

LOG = logging.getLogger(__name__)


class Options(Struct, frozen=True, kw_only=True):
    config: Path
    ports: dict[str, str]  # Linux interface by port, where it is not the usual one
    directory: Path
    logs: Path  # a directory
    io: str  # one of the dataplane's edges
    queue: int
    platform: str  # one of dataplane.offload.PROFILES
    dataplane: tuple[str, ...] = DATAPLANE  # the program to start, without its options
    persist: bool = False  # what is committed is written to `config`


class Running(Struct, frozen=True):
    """A configuration in all the forms it is needed in."""

    loaded: LoadedConfig
    hostname: str
    snapshot: Snapshot
    static_routes: tuple[StaticRoute, ...]


_RETRY_S = 1.0

# What can go wrong between a good configuration and a running one.
_REFUSALS = (CommitError, DataplaneError, DataplaneUnavailable, KernelError, CliSocketError)


def run(options: Options) -> int:
    """Runs a firewall until it is told to end; the exit status."""
    service_manager.log_to_stderr()
    os.umask(0o077)
    try:
        config = load(options)
        _check_machine(config)
        state_dir.prepare(options.directory)
        state_dir.prepare_logs(options.logs)
        with Locks(options.directory):
            return asyncio.run(Daemon(options, config).run())
    except CommitError as error:
        service_manager.refuse(error.lines)
    except StateDirError as error:
        service_manager.refuse((str(error),))
    return 2


def load(options: Options) -> Running:
    """The configuration a firewall starts with. Raises CommitError with all that is wrong."""
    try:
        loaded = candidate.read(options.config)
    except UnreadableError as error:
        raise CommitError([str(error)]) from None
    config = compiled(loaded, options.ports)
    for warning in _warnings(loaded):
        LOG.warning("%s", warning)
    return config


def compiled(loaded: LoadedConfig, ports: dict[str, str]) -> Running:
    """Raises CommitError with everything that is wrong with it."""
    if loaded.errors:
        raise CommitError(_errors(loaded))
    try:
        snapshot = compile_snapshot(loaded.tree, ports)
    except ConfigError as error:
        raise CommitError([problem.text(loaded.name) for problem in error.problems]) from None
    routes = tuple(_kernel_routes(loaded.tree, snapshot))
    return Running(loaded, hostname(loaded.tree), snapshot, routes)


def _errors(loaded: LoadedConfig) -> tuple[str, ...]:
    return tuple(error.text(loaded.name) for error in loaded.errors)


def _warnings(loaded: LoadedConfig) -> tuple[str, ...]:
    return tuple(warning.text(loaded.name) for warning in loaded.warnings)


def _kernel_routes(tree: Tree, snapshot: Snapshot) -> Iterator[StaticRoute]:
    interfaces = {port.name: port.interface for port in snapshot.ports}
    for route in static_routes(tree):
        port = route.interface or ""
        yield StaticRoute(
            prefix=route.prefix,
            nexthop=route.nexthop or "",
            interface=interfaces.get(port, port),
            metric=route.metric,
            is_discard=route.discard,
            virtual_router=route.virtual_router,
            weight=route.weight,
        )


def _check_machine(config: Running) -> None:
    with Netlink() as netlink:
        missing = links.problems(config.snapshot.ports, netlink.links())
    if problems := checks.problems(config.snapshot.ports) + missing:
        raise CommitError(problems)


class Daemon:
    """control.management.Management, and the life of the process."""

    def __init__(self, options: Options, config: Running) -> None:
        self.hostname = config.hostname
        self.version = version()
        self.started_ns = self.now_ns()
        self._options = options
        self._config = config
        self._candidate = config.loaded
        self._client = DataplaneClient(options.directory / state_dir.DATAPLANE_SOCKET)
        self._supervisor = Supervisor(
            options.directory,
            self._client,
            io=options.io,
            queue=options.queue,
            platform=options.platform,
            logs=options.logs,
            program=options.dataplane,
        )
        self._kernel = Kernel(
            options.queue,
            options.directory,
            # the package would mix up the order of packets of two queues
            options.queue + 1 if options.io == "native" else None,
        )
        self._kernel_mirror = Mirror(
            mirror.LINKS | mirror.ADDRESSES | mirror.ROUTES, self._kernel.look, self._see_kernel
        )
        self._neighbor_mirror = Mirror(
            mirror.LINKS | mirror.NEIGHBORS, self._kernel.neighbors, self._see_neighbors
        )
        self._cli = CliServer(Operations(self), options.directory / state_dir.CLI_SOCKET)
        self._committing = asyncio.Lock()  # somebody changes the configuration
        self._commit: asyncio.Task[Committed] | None = None  # an administrator's, the last one
        self._monitors = Monitors(lambda: self._is_behind.set())
        self._applying = asyncio.Lock()  # a configuration is on its way to dataplane and kernel
        self._reload_wanted = asyncio.Event()
        self._followers: list[asyncio.Task[None]] = []  # run as long as the daemon does
        self._state = KernelState({}, [], [], [])
        self._gone: set[str] = set()  # ports without their link
        self._fib: tuple[Route, ...] = ()
        self._is_configured = False  # the dataplane, with self._config
        self._told_routes: tuple[Route, ...] | None = None
        self._told_paths: SetPaths | None = None
        self._is_behind = asyncio.Event()  # the dataplane has to be told something
        self._neighbors: list[Neighbor] = []
        self._learned_since_s: dict[str, float] = {}

    # ---- Management ------------------------------------------------------------------------------

    def now_ns(self) -> int:
        return time.time_ns()  # noqa: TID251 - wall clock of the edge

    async def ask(self, request: Request) -> Reply:
        return await self._client.ask(request)

    def snapshot(self) -> Snapshot:
        return self._config.snapshot

    def config_lines(self) -> list[str]:
        return list(self._config.loaded.tree.lines())

    def candidate_lines(self) -> list[str]:
        return list(self._candidate.tree.lines())

    def has_pending_changes(self) -> bool:
        config = self._candidate
        return bool(config.errors) or config.tree != self._config.loaded.tree

    def config_files(self) -> list[str]:
        return [candidate.RUNNING, *candidate.files(self._options.config)]

    async def load_config(self, name: str) -> Loaded:
        if name == candidate.RUNNING:
            self.revert_config()
        else:
            self._candidate = await asyncio.to_thread(candidate.load, self._path(name))
        config = self._candidate
        return Loaded(config.name, len(config.errors), len(config.warnings))

    def revert_config(self) -> None:
        self._candidate = self._config.loaded

    async def save_config(self, name: str) -> tuple[Path, Path | None]:
        config = self._candidate
        if config.errors:
            raise CommitError(_errors(config))
        path = self._path(name)
        return path, await asyncio.to_thread(candidate.save, config, path)

    async def validate_config(self) -> tuple[str, ...]:
        config = self._candidate
        await asyncio.to_thread(self._checked, config)
        return _warnings(config)

    async def commit(self, progress: Callable[[str], None]) -> Committed:
        if self._committing.locked():
            raise CommitError(["Another commit is in progress. Please try again later"])
        self._commit = asyncio.create_task(self._commit_candidate(progress))
        self._commit.add_done_callback(_look_at)  # who asked may be gone
        return await asyncio.shield(self._commit)

    def interfaces(self) -> list[InterfaceStatus]:
        return links.status(self._config.snapshot.ports, self._state.links)

    def routes(self) -> tuple[Route, ...]:
        return self._fib

    def route_ages_s(self) -> dict[str, int]:
        now_s = asyncio.get_running_loop().time()
        return {prefix: int(now_s - since_s) for prefix, since_s in self._learned_since_s.items()}

    def neighbors(self) -> list[Neighbor]:
        return self._neighbors

    def unreachable_pbf(self) -> Collection[str]:
        return self._monitors.unreachable()

    async def qos_classes(self, port: str) -> list[QosClassStatus]:
        return await asyncio.to_thread(self._kernel.qos_classes, port)

    async def refused_frames(self) -> dict[str, int]:
        return await asyncio.to_thread(self._kernel.refused_frames)

    def traffic_log(self) -> Path:
        return self._options.logs / state_dir.TRAFFIC_LOG

    def threat_log(self) -> Path:
        return self._options.logs / state_dir.THREAT_LOG

    # ---- life ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Runs until SIGTERM or SIGINT; the exit status. Raises CommitError where it cannot."""
        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        ending = asyncio.create_task(end.wait())
        starting = asyncio.create_task(self._start())
        try:
            await _first_of(ending, starting)
            if not end.is_set():
                await _first_of(ending, *self._followers)
        except _REFUSALS as error:
            raise _commit_error(error) from None
        finally:
            commits = [self._commit] if self._commit else []
            failures = await self._stop(starting, *commits, *self._followers)
            ending.cancel()
        return 1 if failures else 0

    async def _start(self) -> None:
        is_taken_over = await self._supervisor.start()
        await self._configure(self._config)
        self._follow(self._kernel_mirror.run(), self._neighbor_mirror.run())
        await self._kernel_mirror.ready()
        await self._bring_in_step()
        await asyncio.to_thread(self._kernel.open)
        await self._cli.start()
        self._follow(
            self._supervisor.run(self._forget_told),
            self._keep_in_step(),
            self._reload_when_wanted(),
            service_manager.keep_watchdog(),
        )
        print(
            f"ready: {len(self._config.snapshot.ports)} ports, queue {self._options.queue}, "
            f"dataplane {self._supervisor.pid} {'taken over' if is_taken_over else 'started'}, "
            f"state in {self._options.directory}",
            flush=True,
        )
        self._say_ready()

    def _say_ready(self) -> None:
        config = self._config
        service_manager.notify(
            "READY=1",
            f"STATUS=forwarding by {len(config.snapshot.ports)} ports, {config.loaded.name}",
        )

    async def _stop(self, *tasks: asyncio.Task[None] | asyncio.Task[Committed]) -> list[str]:
        service_manager.notify("STOPPING=1", "STATUS=closing what it has opened")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._monitors.stop()
        failures = await asyncio.to_thread(self._kernel.close)
        for line in failures:
            LOG.error("%s", line)
        await self._supervisor.stop()
        await self._client.close()
        await self._cli.stop()
        return failures

    def _follow(self, *runs: Coroutine[None, None, None]) -> None:
        self._followers += map(asyncio.create_task, runs)

    # ---- configuration ---------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        return self._options.config.parent / name

    def _checked(self, loaded: LoadedConfig) -> Running:
        """Ready to be brought in. Raises CommitError."""
        config = compiled(loaded, self._options.ports)
        _check_machine(config)
        return config

    async def _commit_candidate(self, progress: Callable[[str], None]) -> Committed:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        wanted = self._candidate
        async with self._committing:
            try:
                warnings = await self._commit_config(wanted, progress)
                warnings += await self._persist(wanted, progress)
            except _REFUSALS as error:
                refusal = _commit_error(error)
                for line in refusal.lines:
                    LOG.error("%s", line)
                LOG.error("%s not committed, the old configuration stays", wanted.name)
                raise refusal from None
        LOG.info("%s committed", wanted.name)
        self._say_ready()
        return Committed((*_warnings(wanted), *warnings), loop.time() - started_s)

    async def _persist(self, committed: LoadedConfig, progress: Callable[[str], None]) -> list[str]:
        """Writes it to where the next start will read it; why that did not work, a line at most."""
        if not self._options.persist:
            return []
        progress("writing the configuration")
        file = self._options.config
        try:
            await asyncio.to_thread(candidate.save, committed, file)
        except (OSError, UnreadableError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            line = (
                f"in force, but not written to {file}, which the next start reads: {why}; "
                f"set that right, then 'save config to {file}'"
            )
            LOG.warning("%s", line)
            return [line]
        return []

    async def _commit_config(
        self, loaded: LoadedConfig, progress: Callable[[str], None]
    ) -> list[str]:
        """What the kernel will not do of it. Raises one of _REFUSALS; then the old configuration is
        in force again."""
        old = self._config
        try:
            progress("checking the configuration")
            config = await asyncio.to_thread(self._checked, loaded)
            warnings = await self._configure(config, progress)
        except _REFUSALS:
            if self._config is not old:
                await self._go_back_to(old)
            raise
        else:
            self.hostname = config.hostname
            return warnings
        finally:
            self._kernel_mirror.refresh()

    async def _configure(
        self, config: Running, progress: Callable[[str], None] = lambda step: None
    ) -> list[str]:
        """What the kernel will not do of it, a line each. Raises one of _REFUSALS."""
        progress("telling the dataplane")
        async with self._applying:
            try:
                reply = await self._client.ask(Configure(config.snapshot))
            except DataplaneUnavailable:
                # It may still get to it, later.
                await self._forget_told()
                raise
            if isinstance(reply, Failed):
                raise CommitError([reply.message])
            self._config = config
            self._is_configured = True
            progress("configuring the kernel")
            return await self._configure_kernel(config)

    async def _configure_kernel(self, config: Running) -> list[str]:
        """Raises KernelError."""
        refused = await asyncio.to_thread(
            self._kernel.configure, config.snapshot, config.static_routes
        )
        for line in refused:
            LOG.warning("%s", line)
        return refused

    async def _reload_when_wanted(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            await self._reload()

    async def _reload(self) -> None:
        service_manager.notify("RELOADING=1", f"STATUS=reading {self._options.config} again")
        try:
            await self._load_again()
        finally:
            self._say_ready()

    async def _load_again(self) -> None:
        file = self._options.config
        async with self._committing:
            try:
                loaded = await asyncio.to_thread(candidate.read, file)
                await self._commit_config(loaded, lambda step: None)
            except (UnreadableError, *_REFUSALS) as error:
                for line in _commit_error(error).lines:
                    LOG.error("%s", line)
                LOG.error("%s not loaded, the old configuration stays", file)
                return
            self._candidate = loaded
        for warning in _warnings(loaded):
            LOG.warning("%s", warning)
        LOG.info("%s loaded", file)

    async def _go_back_to(self, old: Running) -> None:
        """From a configuration the dataplane took and the kernel did not."""
        async with self._applying:
            self._config = old
            await self._forget_told()
            try:
                await self._configure_kernel(old)
            except KernelError as error:
                LOG.error("%s", error)

    # ---- dataplane -------------------------------------------------------------------------------

    async def _forget_told(self) -> None:
        """One that was started again knows nothing; one that did not answer knows who knows what.

        What is told next comes behind everything it has not read yet.
        """
        self._is_configured = False
        self._told_routes = self._told_paths = None
        self._is_behind.set()

    async def _keep_in_step(self) -> None:
        failures = 0
        while True:
            await self._is_behind.wait()
            self._is_behind.clear()
            try:
                await self._bring_in_step()
                failures = 0
            except DataplaneUnavailable as error:
                failures += 1
                if failures > 1 and self._supervisor.pid:  # else its end is reported already
                    LOG.warning("%s", error)
                await asyncio.sleep(_RETRY_S)
                self._is_behind.set()

    async def _bring_in_step(self) -> None:
        """Tells the dataplane what it does not know yet. Raises DataplaneUnavailable."""
        async with self._applying:
            if not self._is_configured:
                await self._tell(Configure(self._config.snapshot))
                self._is_configured = True
            paths = self._paths()
            if paths != self._told_paths:  # before the routes, which may speak of them
                self._told_paths = None
                await self._tell(paths)
                self._told_paths = paths
            routes = self._fib
            if routes != self._told_routes:
                self._told_routes = None  # unknown until it answers
                await self._tell(SetRoutes(routes))
                self._told_routes = routes

    async def _tell(self, request: Request) -> None:
        reply = await self._client.ask(request)
        if isinstance(reply, Failed):
            LOG.error("dataplane: %s", reply.message)

    # ---- what the kernel has ---------------------------------------------------------------------

    async def _see_kernel(self, state: KernelState) -> None:
        for line in state.refused:
            if line not in self._state.refused:
                LOG.warning("%s", line)
        self._report_links(state)
        self._state = state
        now_s = asyncio.get_running_loop().time()
        since_s = self._learned_since_s
        self._learned_since_s = {
            prefix: since_s.get(prefix, now_s)
            for prefix in fib.learned(state.routes, self._config.snapshot.virtual_routers)
        }
        self._fib = state.fib
        snapshot = self._config.snapshot
        self._monitors.watch(monitor.targets(snapshot.pbf_rules, snapshot.ports, state.paths))
        self._is_behind.set()
        # A dataplane that knows the next hops can tell by which one a packet has come.
        known = {(neighbor.port, neighbor.address) for neighbor in self._neighbors}
        hops = [(path.port, path.nexthop) for path in state.paths if path.nexthop]
        if unknown := [hop for hop in hops if hop not in known]:
            await asyncio.to_thread(self._kernel.resolve, unknown)

    def _paths(self) -> SetPaths:
        """With the link-layer addresses of the next hops, as far as they are known."""
        macs = {(one.port, one.address): one.mac for one in self._neighbors}
        paths = tuple(
            replace(path, mac=bytes.fromhex(mac.replace(":", ""))) if mac else path
            for path in self._state.paths
            for mac in [macs.get((path.port, path.nexthop), "")]
        )
        return SetPaths(paths, self._monitors.disabled())

    def _report_links(self, state: KernelState) -> None:
        """What became of the ports' links since the last look."""
        interfaces = {port.name: port.interface for port in self._config.snapshot.ports}
        before, now = self._state.ports.items(), state.ports.items()
        for _, name in sorted(before - now):
            if name in interfaces:  # else the configuration has given it up
                LOG.warning("%s (%s) is gone", name, interfaces[name])
                self._gone.add(name)
        self._gone &= interfaces.keys()
        for name in sorted(self._gone.intersection(state.ports.values())):
            LOG.warning("%s (%s) is back", name, interfaces[name])
            self._gone.remove(name)

    async def _see_neighbors(self, neighbors: list[Neighbor]) -> None:
        self._neighbors = neighbors
        self._is_behind.set()


async def _first_of(*tasks: asyncio.Task[None] | asyncio.Task[bool]) -> None:
    """Waits until one of them is done; raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _look_at(task: asyncio.Task[Committed]) -> None:
    if not task.cancelled():
        task.exception()


def _commit_error(error: Exception) -> CommitError:
    return error if isinstance(error, CommitError) else CommitError([str(error)])
