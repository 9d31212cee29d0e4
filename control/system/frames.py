"""Frames that do not pass a bridge of ours, although the hook does not see them.

Those with a VLAN tag: the hook sees the IP packet behind one tag, but not behind two, nor what else
a tag may hide. A sub-interface takes its tag off before the bridge; what still has one is for no
port that is configured.

Those of other protocols than IP and ARP, as the list of the zone's profile says (fact sheet 4.4).
"""

import shutil
from collections.abc import Collection, Iterator, Mapping

from control.system.errors import KernelError
from control.system.hook import CHAIN, SEARCH_PATH, run_tool
from dataplane.snapshot import Snapshot, ZoneProtection

_TOOL = "ebtables-nft"  # comes with iptables
_JUMP = f"-A FORWARD -j {CHAIN}"
_TAGS = ("802_1Q", "0x88a8")
_ALWAYS = (0x0800, 0x0806, 0x86DD)  # IPv4, ARP, IPv6


def lists(snapshot: Snapshot) -> dict[str, ZoneProtection]:
    """The profiles that have a list, by the interface frames enter by."""
    zones = {zone.name: zone.protection for zone in snapshot.zones}
    return {
        port.interface: profile
        for port in snapshot.ports
        if (profile := zones.get(port.zone)) is not None and profile.non_ip
    }


def install(interfaces: Collection[str], profiles: Mapping[str, ZoneProtection]) -> None:
    """Exactly for these ports of bridges, whatever was there before. Raises KernelError."""
    if interfaces and not _has_tool():
        raise KernelError(f"{_TOOL} is missing, which bridged ports need: install iptables")
    present = _present()
    if not interfaces and not any(line.startswith(f"-A {CHAIN} ") for line in present):
        return
    rules = [f"-A {CHAIN} -p {tag} -i {name} -j DROP" for name in interfaces for tag in _TAGS]
    for name in interfaces:
        if profile := profiles.get(name):
            rules += _rules(name, profile)
    jump = [] if _JUMP in present else [f"-I FORWARD 1 -j {CHAIN}"]
    lines = ("*filter", f":{CHAIN} RETURN", *rules, *jump, "")  # made, or emptied
    run_tool([f"{_TOOL}-restore", "--noflush"], "\n".join(lines))


def _rules(interface: str, profile: ZoneProtection) -> Iterator[str]:
    if profile.non_ip == "exclude":
        for ether_type in profile.non_ip_types:
            yield f"-A {CHAIN} -p {ether_type:#06x} -i {interface} -j DROP"
        return
    for ether_type in (*_ALWAYS, *profile.non_ip_types):
        yield f"-A {CHAIN} -p {ether_type:#06x} -i {interface} -j RETURN"
    yield f"-A {CHAIN} -i {interface} -j DROP"


def remove() -> None:
    """Raises KernelError."""
    present = _present()
    if _JUMP in present:
        run_tool([_TOOL, *_JUMP.replace("-A", "-D").split()])
    if f":{CHAIN} RETURN" in present:
        run_tool([_TOOL, "-F", CHAIN])
        run_tool([_TOOL, "-X", CHAIN])


def _has_tool() -> bool:
    return shutil.which(f"{_TOOL}-save", path=SEARCH_PATH) is not None


def _present() -> list[str]:
    return run_tool([f"{_TOOL}-save"]).splitlines() if _has_tool() else []
