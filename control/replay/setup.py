"""A configuration file, ready to be replayed with: no machine, no Linux interfaces, no kernel."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from control.config.compile import compile_snapshot
from control.config.errors import ConfigError
from control.config.load import (
    UnreadableError,
    load_config,
    read_file,
    shown_name,
    static_routes,
)
from control.config.network import ports as ethernet_ports
from control.config.routes import kernel_tables
from dataplane.snapshot import Route, Snapshot


class ReplayError(Exception):
    """Why there is nothing to replay (any more), a line each."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class Setup(Struct, frozen=True):
    snapshot: Snapshot
    routes: tuple[Route, ...]
    warnings: tuple[str, ...]  # what of the configuration has no effect, a line each


def load(path: Path) -> Setup:
    """Raises ReplayError with everything that is wrong with the file."""
    name = shown_name(path)
    try:
        loaded = load_config(read_file(path), name)
        if loaded.errors:
            raise ConfigError(loaded.errors)
        # any names do: no interface is behind a port
        ports = {port: f"port{n}" for n, port in enumerate(ethernet_ports(loaded.tree))}
        snapshot = compile_snapshot(loaded.tree, ports)
    except UnreadableError as error:
        raise ReplayError(str(error)) from None
    except ConfigError as error:
        raise ReplayError(*(problem.text(name) for problem in error.problems)) from None
    tables = kernel_tables(snapshot.ports, static_routes(loaded.tree), snapshot.virtual_routers)
    warnings = [f"{name}: {line}" for line in tables.refused]
    if count := len(loaded.warnings):
        warnings.append(f"{name}: {counted(count, 'warning')}; sixtuple check {name} lists them")
    return Setup(snapshot, tables.routes, tuple(warnings))
