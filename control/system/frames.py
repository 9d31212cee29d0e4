"""What frames pass a bridge of ours, beside the IP packets the hook asks about.

    filter FORWARD --> SIXTUPLE            with a VLAN tag, from a port of ours?   --> DROP
                       SIXTUPLE            from a port of a zone with a list?      --> its chain
                       SIXTUPLE-1a2b3c4d   an Ethernet type the list keeps out?    --> DROP

Frames with a VLAN tag do not pass: the hook sees the IP packet behind one tag, but not behind two,
nor what else a tag may hide. A sub-interface takes its tag off before the bridge; what still has
one is for no port that is configured.

A zone protection profile may have a list of Ethernet types (fact sheet 4.4, non-ip-protocol). With
"include" only those on it pass, and IPv4, IPv6 and ARP; a frame that has a length in place of a
type (802.3) is on no list, so it does not. With "exclude" those on it do not. The name of a zone's
chain says what is in it, so one that stays is not touched and goes on counting.
"""

import re
import shutil
from collections.abc import Collection, Iterable
from typing import NamedTuple
from zlib import crc32

from control.system.errors import KernelError
from control.system.hook import CHAIN, SEARCH_PATH, run_tool
from dataplane.snapshot import Snapshot

_TOOL = "ebtables-nft"  # comes with iptables
_JUMP = f"-A FORWARD -j {CHAIN}"
_TAGS = {"802_1Q": "802_1Q", "0x88a8": "S-TAG"}  # as they are written, as they are shown
_ALWAYS = (0x0800, 0x0806, 0x86DD)  # on every list of those that pass
_FILTERED = ("layer2", "virtual-wire")


class Filter(NamedTuple):
    """The list of a zone."""

    zone: str
    interfaces: tuple[str, ...]
    is_include: bool
    types: tuple[int, ...]

    @property
    def chain(self) -> str:
        said = repr((self.zone, self.is_include, sorted(self.types)))
        return f"{CHAIN}-{crc32(said.encode()):08x}"

    @property
    def rules(self) -> list[str]:
        if self.is_include:
            passed = sorted({*self.types, *_ALWAYS})
            returned = (f"-A {self.chain} -p {number:#06x} -j RETURN" for number in passed)
            return [*returned, f"-A {self.chain} -j DROP"]
        return [f"-A {self.chain} -p {number:#06x} -j DROP" for number in sorted({*self.types})]


def filters(snapshot: Snapshot) -> list[Filter]:
    """Those of zones that have bridged ports."""
    found: list[Filter] = []
    for zone in snapshot.zones:
        if zone.protection and zone.protection.non_ip:
            interfaces = tuple(
                port.interface
                for port in snapshot.ports
                if port.zone == zone.name and port.mode in _FILTERED
            )
            is_include = zone.protection.non_ip == "include"
            found.append(Filter(zone.name, interfaces, is_include, zone.protection.non_ip_types))
    return [one for one in found if one.interfaces and one.rules]


def install(interfaces: Collection[str], lists: Collection[Filter] = ()) -> None:
    """Exactly for these ports of bridges and these lists, whatever was there before.

    Raises KernelError.
    """
    if interfaces and not _has_tool():
        raise KernelError(f"{_TOOL} is missing, which bridged ports need: install iptables")
    present = _present()
    pairs = [(tag, name) for name in interfaces for tag in _TAGS]
    jumps = [f"-A {CHAIN} -i {name} -j {one.chain}" for one in lists for name in one.interfaces]
    wanted = [*(f"-A {CHAIN} -p {tag} -i {name} -j DROP" for tag, name in pairs), *jumps]
    shown = [*(f"-A {CHAIN} -p {_TAGS[tag]} -i {name} -j DROP" for tag, name in pairs), *jumps]
    ours = [line for line in present if line.startswith(f"-A {CHAIN} ")]
    made = [one for one in lists if not _is_made(one, present)]
    if ours == shown and not made and (_JUMP in present or not shown):
        return
    lines = (
        "*filter",
        f":{CHAIN} RETURN",  # made, or emptied
        *(f":{one.chain} RETURN" for one in made),
        *(rule for one in made for rule in one.rules),
        *wanted,
        *([] if _JUMP in present else [f"-I FORWARD 1 -j {CHAIN}"]),
        "",
    )
    run_tool([f"{_TOOL}-restore", "--noflush"], "\n".join(lines))
    _delete(_chains(present).difference(one.chain for one in lists))


def remove() -> None:
    """Raises KernelError."""
    present = _present()
    if _JUMP in present:
        run_tool([_TOOL, *_JUMP.replace("-A", "-D").split()])
    if f":{CHAIN} RETURN" in present:
        _delete([CHAIN])
    _delete(_chains(present))


def dropped(lists: Iterable[Filter]) -> dict[str, int]:
    """How many frames each zone's list has kept out. Raises KernelError."""
    counts: dict[str, int] = {}
    for line in _present("-c"):
        if match := re.fullmatch(rf"\[(\d+):\d+\] -A ({CHAIN}-\w+) .*-j DROP", line):
            counts[match[2]] = counts.get(match[2], 0) + int(match[1])
    return {one.zone: counts.get(one.chain, 0) for one in lists}


def _has_tool() -> bool:
    return shutil.which(f"{_TOOL}-save", path=SEARCH_PATH) is not None


def _present(*options: str) -> list[str]:
    return run_tool([f"{_TOOL}-save", *options]).splitlines() if _has_tool() else []


def _is_made(one: Filter, present: Iterable[str]) -> bool:
    """As far as can be told without the names that types are shown by."""
    return sum(line.startswith(f"-A {one.chain} ") for line in present) == len(one.rules)


def _chains(present: Iterable[str]) -> set[str]:
    """Those of lists."""
    found = (re.match(rf":({CHAIN}-\w+) ", line) for line in present)
    return {match[1] for match in found if match}


def _delete(chains: Iterable[str]) -> None:
    for chain in chains:
        run_tool([_TOOL, "-F", chain])
        run_tool([_TOOL, "-X", chain])
