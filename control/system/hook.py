"""The hook: what makes the kernel ask the dataplane, and forward nothing it was not asked about.

    raw PREROUTING --> SIXTUPLE      from a port?      --> NFQUEUE N, without bypass
    mangle FORWARD --> SIXTUPLE      not from a port?  --> DROP
                       SIXTUPLE-OUT  not to a port of the zone it is marked for?  --> DROP
    mangle INPUT   --> SIXTUPLE-IN   from a port, and not marked for the host?    --> DROP

Without bypass means: when nobody listens on the queue, the kernel drops. The marks say what the
dataplane decided (dataplane/marks.py), so that the kernel's own routing cannot undo it. The chains
are our own and
written by iptables-restore in both families: each table changes in one transaction, so that a
takeover loses no packet, and rules of others stay as they are. The jumps stand first in their
chains, so that no other rule lets a packet by. Nothing here uses connection tracking: with it the
kernel would put fragments together before the dataplane saw them.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from control.system.errors import KernelError
from control.system.sysctls import has_ipv6
from dataplane import marks

CHAIN = "SIXTUPLE"
_CHAIN_OUT = f"{CHAIN}-OUT"
_CHAIN_IN = f"{CHAIN}-IN"
_SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_TIMEOUT_S = 20  # another program may hold the lock of the tables

_Present = dict[str, list[str]]  # table -> its lines, as iptables-save prints them


class _Table(NamedTuple):
    """Our part of a table."""

    name: str
    parent: str  # the chain that jumps to the first of ours
    chains: tuple[str, ...]
    rules: tuple[str, ...]


def missing_tools() -> list[str]:
    """Programs that are needed and not installed."""
    needed = [f"{tool}-{part}" for tool in _families() for part in ("save", "restore")]
    return [name for name in needed if not shutil.which(name, path=_SEARCH_PATH)]


def install(zones: Mapping[str, str], queue: int, *, fail_open: bool = False) -> None:
    """Puts the hook in place for exactly these interfaces, whatever was there of it before.

    `zones` says the zone of each; nothing leaves by an interface whose zone is "". With fail_open
    packets without a mark leave by every other: those that passed a full queue unseen.

    Where all is in place nothing is touched. An interface that leaves is closed for forwarding
    before it loses its queue rule, one that enters is opened after it got one.
    """
    raw, guard, host = _raw(zones, queue), _guard(zones, fail_open), _host(zones)
    for tool in _families():
        present = _save(tool)
        if not all(_is_in_place(table, present) for table in (raw, guard, host)):
            open_by_now = {name: zones[name] for name in zones if _is_open(name, present)}
            staying = _guard(open_by_now, fail_open)
            script = (
                _script(staying, _move_jump(staying, present))
                + _script(host, _move_jump(host, present))
                + _script(raw, _move_jump(raw, present))
                + _script(guard, [])
            )
            _restore(tool, script)


def remove() -> None:
    """Takes the hook out, as far as there is one. Forwarding has to be off by then."""
    for tool in _families():
        present = _save(tool)
        script = ""
        for table in (_raw({}, 0), _guard({}, False), _host({})):
            lines = present.get(table.name, [])
            chains = [chain for chain in table.chains if _is_declared(chain, lines)]
            if chains:
                jumps = [_jump(table, "-D")] * lines.count(_jump(table))
                gone = [f"-X {chain}" for chain in chains]
                script += _script(table._replace(chains=tuple(chains), rules=()), jumps + gone)
        if script:
            _restore(tool, script)


def _families() -> tuple[str, ...]:
    return ("iptables", "ip6tables") if has_ipv6() else ("iptables",)


def _raw(zones: Mapping[str, str], queue: int) -> _Table:
    rules = (f"-A {CHAIN} -i {name} -j NFQUEUE --queue-num {queue}" for name in zones)
    return _Table("raw", "PREROUTING", (CHAIN,), tuple(rules))


def _guard(zones: Mapping[str, str], fail_open: bool) -> _Table:
    # "Go to" makes the RETURN leave both chains.
    inward = (f"-A {CHAIN} -i {name} -g {_CHAIN_OUT}" for name in zones)
    outward = (
        f"-A {_CHAIN_OUT} -o {name} -m mark --mark {_matched(mark)} -j RETURN"
        for name, zone in zones.items()
        if zone
        for mark in (marks.of_zone(zone), *([0] if fail_open else []))
    )
    rules = (*inward, f"-A {CHAIN} -j DROP", *outward, f"-A {_CHAIN_OUT} -j DROP")
    return _Table("mangle", "FORWARD", (CHAIN, _CHAIN_OUT), rules)


def _host(zones: Mapping[str, str]) -> _Table:
    unmarked = f"-m mark ! --mark {_matched(marks.HOST)}"
    rules = (f"-A {_CHAIN_IN} -i {name} {unmarked} -j DROP" for name in zones)
    return _Table("mangle", "INPUT", (_CHAIN_IN,), tuple(rules))


def _matched(mark: int) -> str:
    return f"{mark:#x}/{marks.MASK:#x}"


def _jump(table: _Table, command: str = "-A") -> str:
    return f"{command} {table.parent} -j {table.chains[0]}"


def _is_declared(chain: str, lines: Sequence[str]) -> bool:
    return any(line.startswith(f":{chain} ") for line in lines)


def _is_open(interface: str, present: _Present) -> bool:
    lines = present.get("mangle", [])
    return any(line.startswith(f"-A {CHAIN} -i {interface} ") for line in lines)


def _is_in_place(table: _Table, present: _Present) -> bool:
    lines = present.get(table.name, [])
    ours = [line for line in lines if line.startswith(tuple(f"-A {c} " for c in table.chains))]
    return (
        all(_is_declared(chain, lines) for chain in table.chains)
        and sorted(ours) == sorted(table.rules)
        and not _move_jump(table, present)
    )


def _move_jump(table: _Table, present: _Present) -> list[str]:
    """The commands that leave exactly one jump to our chain, in the first place."""
    lines = [line for line in present.get(table.name, []) if line.startswith(f"-A {table.parent} ")]
    jump = _jump(table)
    if lines[:1] == [jump] and lines.count(jump) == 1:
        return []
    return [_jump(table, "-D")] * lines.count(jump) + [f"-I {table.parent} 1 -j {table.chains[0]}"]


def _script(table: _Table, commands: Sequence[str]) -> str:
    declared = [f":{chain} - [0:0]" for chain in table.chains]  # made, or emptied
    lines = (f"*{table.name}", *declared, *table.rules, *commands, "COMMIT", "")
    return "\n".join(lines)


def _save(tool: str) -> _Present:
    present: _Present = {}
    lines: list[str] = []
    for line in _run([f"{tool}-save"]).splitlines():
        if line.startswith("*"):
            lines = present.setdefault(line[1:], [])
        else:
            lines.append(line)
    return present


def _restore(tool: str, script: str) -> None:
    _run([f"{tool}-restore", "--noflush", "-w", str(_TIMEOUT_S)], script)


def _run(command: Sequence[str], script: str = "") -> str:
    try:
        done = subprocess.run(
            command,
            input=script,
            capture_output=True,
            text=True,
            timeout=2 * _TIMEOUT_S,
            env={**os.environ, "PATH": _SEARCH_PATH, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KernelError(f"{command[0]} does not answer") from None
    except OSError as error:
        raise KernelError(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode:
        said = next(iter(done.stderr.strip().splitlines()), f"exit status {done.returncode}")
        raise KernelError(f"{command[0]} failed: {said}")
    return done.stdout
