"""Kernel switches (/proc/sys/net) the firewall needs on its ports, and forwarding.

Everything but forwarding is put back when the firewall stops, to what it was before the first
start; the values of that time are remembered, so that they survive a crash. Forwarding is
switched on when the hook is in place and off before it goes: a stopped firewall forwards nothing.
"""

import contextlib
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from control.system.errors import KernelError
from control.system.remembered import Remembered
from dataplane.snapshot import Port

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ROOT = Path("/proc/sys")
_IPV6 = _ROOT / "net/ipv6"

# rp_filter takes the stricter of `all` and the interface, the other two the looser.
_ALL = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
}
_PORT_IPV4 = {
    "rp_filter": "0",  # the dataplane decides what is spoofed
    "accept_local": "1",  # source NAT to the firewall's own address
    "send_redirects": "0",
    "accept_redirects": "0",
    "promote_secondaries": "1",  # an address that goes takes no other one along
}
_PORT_IPV6 = {
    "accept_ra": "0",  # addresses and routes come from the configuration
    "autoconf": "0",
    "accept_redirects": "0",
    "accept_dad": "0",
    "dad_transmits": "0",
    "keep_addr_on_down": "1",
    "proxy_ndp": "1",
}
# Each sender of a traceroute gets all its answers; what the machine sends in all stays limited.
_ICMP_IPV4 = {
    "net/ipv4/icmp_ratelimit": "0",
    # An error finds its way in the virtual router of the port it speaks for.
    "net/ipv4/icmp_errors_use_inbound_ifaddr": "1",
}
_ICMP_IPV6 = {"net/ipv6/icmp/ratelimit": "0"}
_QUIET_IPV4 = {"arp_ignore": "8"}  # no address of the machine is answered for
_QUIET_IPV6 = {"disable_ipv6": "1"}
_BRIDGES = {"net/bridge/bridge-nf-filter-vlan-tagged": "1"}  # a tag must not hide a packet
_FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


def has_ipv6() -> bool:
    return _IPV6.is_dir()


def apply(
    ports: Iterable[Port],
    saved: Remembered[dict[str, str]],
    *,
    quiet: Iterable[str] = (),
    loopback: Iterable[str] = (),
    has_bridges: bool = False,
) -> None:
    """Sets the switches for the routed ports, and for interfaces by which the machine itself is
    quiet, and reads them back; `saved` gets the values of before. `loopback` are the addresses of
    loopback ports."""
    before = saved.get()
    wanted = _wanted(ports, quiet, loopback) | (_BRIDGES if has_bridges else {})
    new = {name: _read(name) for name in wanted if name not in before}
    if new:
        saved.set(before | new)
    for name, value in wanted.items():
        _set(name, value)


def restore(saved: Remembered[dict[str, str]]) -> None:
    """Puts back what apply changed. Interfaces that are gone have nothing to put back."""
    for name, value in saved.get().items():
        with contextlib.suppress(OSError):
            (_ROOT / name).write_text(value)
    saved.forget()


def set_forwarding(on: bool) -> None:
    """Both families; all of them are tried before KernelError names one that did not work."""
    failures = []
    for name in _FORWARDING:
        if (_ROOT / name).exists():
            try:
                _set(name, "1" if on else "0")
            except KernelError as error:
                failures.append(str(error))
    if failures:
        raise KernelError("; ".join(failures))


def _wanted(ports: Iterable[Port], quiet: Iterable[str], loopback: Iterable[str]) -> dict[str, str]:
    elsewhere = [ipaddress.ip_interface(text).ip for text in loopback]
    wanted = dict(_ALL)
    for name in quiet:
        wanted |= _of(name, _QUIET_IPV4, _QUIET_IPV6)
    for port in ports:
        wanted |= _of(port.interface, _PORT_IPV4, _PORT_IPV6)
        wanted[f"net/ipv4/conf/{port.interface}/arp_ignore"] = _arp_ignore(port, elsewhere)
        # Nobody else would answer for the translated addresses: no need to let others go first.
        wanted[f"net/ipv4/neigh/{port.interface}/proxy_delay"] = "0"
        if has_ipv6():
            wanted[f"net/ipv6/neigh/{port.interface}/proxy_delay"] = "0"
            if port.ipv6:
                wanted[f"net/ipv6/conf/{port.interface}/disable_ipv6"] = "0"
    return wanted | _ICMP_IPV4 | (_ICMP_IPV6 if has_ipv6() else {})


def _arp_ignore(port: Port, elsewhere: Iterable[_Address]) -> str:
    """A port answers for its own addresses (1), so that nobody behind it learns the others; for all
    of the machine's (0) where one of a loopback port is in its network."""
    networks = [ipaddress.ip_interface(text).network for text in port.addresses]
    return "0" if any(address in network for address in elsewhere for network in networks) else "1"


def _of(interface: str, ipv4: dict[str, str], ipv6: dict[str, str]) -> dict[str, str]:
    wanted = {f"net/ipv4/conf/{interface}/{name}": value for name, value in ipv4.items()}
    if has_ipv6():
        wanted |= {f"net/ipv6/conf/{interface}/{name}": value for name, value in ipv6.items()}
    return wanted


def _read(name: str) -> str:
    try:
        return (_ROOT / name).read_text().strip()
    except OSError as error:
        raise KernelError(f"cannot read {_dotted(name)}: {error.strerror}") from None


def _set(name: str, value: str) -> None:
    if _read(name) == value:
        return
    try:
        (_ROOT / name).write_text(value)
    except OSError as error:
        raise KernelError(f"cannot set {_dotted(name)} to {value}: {error.strerror}") from None
    if _read(name) != value:
        raise KernelError(f"{_dotted(name)} stays {_read(name)} although {value} was written")


def _dotted(name: str) -> str:
    # As sysctl(8) writes it: dots of an interface name become slashes.
    return name.translate(str.maketrans("./", "/."))
