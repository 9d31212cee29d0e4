"""The hook: what makes the kernel ask the dataplane, and forward nothing it was not asked about.

    raw PREROUTING     --> SIXTUPLE      from a routed port, to open a connection?   --> NFQUEUE N+1
                           SIXTUPLE      from a routed port?    --> NFQUEUE N, without bypass
    raw OUTPUT         --> SIXTUPLE-ERR  by a tunnel interface?                     --> NFQUEUE N
                           SIXTUPLE-ERR  an ICMP error, not the dataplane's own?    --> NFQUEUE N
    mangle FORWARD     --> SIXTUPLE      between ports of a bridge of ours?         --> NFQUEUE N
                           SIXTUPLE      not from a routed port?                    --> DROP
                           SIXTUPLE-OUT  not to a port of the zone it is marked for?  --> DROP
    mangle INPUT       --> SIXTUPLE-IN   from a port, and not marked for the host?    --> DROP
                           SIXTUPLE-IN   from a bridge of ours?                       --> DROP
    mangle POSTROUTING --> SIXTUPLE-QOS  the class of its mark

Segments that open TCP connections have a queue of their own, so that a flood of them fills that
alone. Without bypass means: when nobody listens on the queue, the kernel drops. The marks say what
the dataplane decided (dataplane/marks.py), so that the kernel's own routing cannot undo it. Bridged
packets are queued where the bridge has decided, so that the queue names both ports and nothing but
the verdict comes after; a mark tells frames for every host of the link. The kernel's own ICMP
errors are queued because they may be about packets the dataplane has translated, and what the
machine sends by a tunnel interface because the dataplane alone has the tunnel.

The chains are our own and written by iptables-restore in both families: each table changes in one
transaction, so that a takeover loses no packet, and rules of others stay as they are. The jumps
stand first in their chains, so that no other rule lets a packet by. Nothing here uses connection
tracking: with it the kernel would put fragments together before the dataplane saw them.
"""

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from control.system.errors import KernelError
from control.system.sysctls import has_ipv6
from dataplane import marks

CHAIN = "SIXTUPLE"
QOS_MAJOR = 1  # handle of the queueing discipline whose classes packets are sorted into
_CHAIN_OUT = f"{CHAIN}-OUT"
_CHAIN_IN = f"{CHAIN}-IN"
_CHAIN_ERRORS = f"{CHAIN}-ERR"
_CHAIN_QOS = f"{CHAIN}-QOS"
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_TIMEOUT_S = 20  # another program may hold the lock of the tables

_MULTICAST = marks.of_zone("multicast")
_CLASSES = range(1, 9)

# The ICMP errors a router sends about what it forwards: RFC 792, RFC 4443.
_ERRORS = {
    "iptables": ("-p icmp -m icmp --icmp-type", (3, 11, 12)),
    "ip6tables": ("-p ipv6-icmp -m icmp6 --icmpv6-type", (1, 2, 3, 4)),
}

_OPENING = "-m tcp --tcp-flags FIN,SYN,RST,ACK SYN"

_Queues = tuple[int, int | None]  # of packets; of segments that open connections
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
    return [name for name in needed if not shutil.which(name, path=SEARCH_PATH)]


def has_legacy_tools() -> bool:
    """Whether they are those of the old interface, which root alone may use."""
    return any(
        os.path.basename(os.path.realpath(found)) == "xtables-legacy-multi"
        for tool in _families()
        if (found := shutil.which(f"{tool}-restore", path=SEARCH_PATH))
    )


def install(
    zones: Mapping[str, str],
    queue: int,
    *,
    opening_queue: int | None = None,
    bridges: Collection[str] = (),
    multicast: Collection[str] = (),
    tunnels: Collection[str] = (),
    is_shaped: bool = False,
    fail_open: bool = False,
) -> None:
    """Puts the hook in place for exactly these interfaces, whatever was there of it before.

    Segments that open TCP connections go to `opening_queue`, where there is one.
    `zones` says the zone of each routed one; nothing leaves by an interface whose zone is "". By
    those of `multicast` routed multicast leaves too. What the machine sends by those of `tunnels`
    is queued. With is_shaped packets get the class their mark names. With fail_open packets without
    a mark leave by every interface that has a zone: those that passed a full queue unseen.

    Where all is in place nothing is touched. An interface that leaves is closed for forwarding
    before it loses its queue rule, one that enters is opened after it got one.
    """

    def guard(of: Mapping[str, str]) -> _Table:
        return _guard(of, (queue, opening_queue), bridges, multicast, fail_open)

    raw, host, qos = _raw(zones, (queue, opening_queue)), _host(zones, bridges), _qos(is_shaped)
    for tool in _families():
        present = _save(tool)
        tables = (host, _errors(tool, queue, tunnels), qos, raw)
        if not all(_is_in_place(table, present) for table in (*tables, guard(zones))):
            staying = guard({name: zones[name] for name in zones if _is_open(name, present)})
            moved = (_script(table, _move_jump(table, present)) for table in (staying, *tables))
            _restore(tool, "".join(moved) + _script(guard(zones), []))


def remove() -> None:
    """Takes the hook out, as far as there is one. Forwarding has to be off by then."""
    for tool in _families():
        present = _save(tool)
        script = ""
        for table in (
            _raw({}, (0, None)),
            _errors(tool, 0, ()),
            _guard({}, (0, None), (), (), False),
            _host({}, ()),
            _qos(False),
        ):
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


def _raw(zones: Mapping[str, str], queues: _Queues) -> _Table:
    rules = (
        f"-A {CHAIN} -i {name} {protocol}{rest}"
        for name in zones
        for protocol, rest in _by_queue(queues)
    )
    return _Table("raw", "PREROUTING", (CHAIN,), tuple(rules))


def _errors(tool: str, queue: int, tunnels: Collection[str]) -> _Table:
    match, types = _ERRORS[tool]
    # What the dataplane sends itself has exactly this mark.
    theirs = f"-m mark ! --mark {marks.HOST:#x} -j {_queued(queue)}"
    rules = (f"-A {_CHAIN_ERRORS} {match} {type} {theirs}" for type in types)
    own = (f"-A {_CHAIN_ERRORS} -o {name} -j {_queued(queue)}" for name in tunnels)
    return _Table("raw", "OUTPUT", (_CHAIN_ERRORS,), (*own, *rules))


def _guard(
    zones: Mapping[str, str],
    queues: _Queues,
    bridges: Collection[str],
    multicast: Collection[str],
    fail_open: bool,
) -> _Table:
    broadcast = f"{marks.BROADCAST:#x}"
    bridged = (
        f"-A {CHAIN} -i {name} {protocol}-m physdev --physdev-is-bridged {rest}"
        for name in bridges
        for protocol, rest in (
            ("", f"-m pkttype --pkt-type broadcast -j MARK --set-xmark {broadcast}/0xffffffff"),
            *_by_queue(queues),
        )
    )
    # "Go to" makes the RETURN leave both chains.
    inward = (f"-A {CHAIN} -i {name} -g {_CHAIN_OUT}" for name in zones)
    leaving = [
        (name, mark)
        for name, zone in zones.items()
        if zone
        for mark in (marks.of_zone(zone), *([0] if fail_open else []))
    ] + [(name, _MULTICAST) for name in zones if name in multicast]
    outward = (
        f"-A {_CHAIN_OUT} -o {name} -m mark --mark {_matched(mark)} -j RETURN"
        for name, mark in leaving
    )
    rules = (*bridged, *inward, f"-A {CHAIN} -j DROP", *outward, f"-A {_CHAIN_OUT} -j DROP")
    return _Table("mangle", "FORWARD", (CHAIN, _CHAIN_OUT), rules)


def _host(zones: Mapping[str, str], bridges: Collection[str]) -> _Table:
    unmarked = f"-m mark ! --mark {_matched(marks.HOST)}"
    routed = (f"-A {_CHAIN_IN} -i {name} {unmarked} -j DROP" for name in zones)
    bridged = (f"-A {_CHAIN_IN} -i {name} -j DROP" for name in bridges)
    return _Table("mangle", "INPUT", (_CHAIN_IN,), (*routed, *bridged))


def _qos(is_shaped: bool) -> _Table:
    rules = (
        f"-A {_CHAIN_QOS} -m mark --mark {number << marks.CLASS_SHIFT:#x}/{marks.CLASS_MASK:#x} "
        f"-j CLASSIFY --set-class {QOS_MAJOR:04x}:{number:04x}"
        for number in (_CLASSES if is_shaped else ())
    )
    return _Table("mangle", "POSTROUTING", (_CHAIN_QOS,), tuple(rules))


def _by_queue(queues: _Queues) -> list[tuple[str, str]]:
    """What is queued where: protocol and the rest of a rule."""
    queue, opening = queues
    every = ("", f"-j {_queued(queue)}")
    return [every] if opening is None else [("-p tcp ", f"{_OPENING} -j {_queued(opening)}"), every]


def _queued(queue: int) -> str:
    return f"NFQUEUE --queue-num {queue}"


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
    for line in run_tool([f"{tool}-save"]).splitlines():
        if line.startswith("*"):
            lines = present.setdefault(line[1:], [])
        else:
            lines.append(line)
    return present


def _restore(tool: str, script: str) -> None:
    run_tool([f"{tool}-restore", "--noflush", "-w", str(_TIMEOUT_S)], script)


def run_tool(command: Sequence[str], script: str = "") -> str:
    try:
        done = subprocess.run(
            command,
            input=script,
            capture_output=True,
            text=True,
            timeout=2 * _TIMEOUT_S,
            env={**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C"},
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
