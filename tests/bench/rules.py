"""Configurations with many rules, of which only the last one matches the benchmark's traffic."""

from collections.abc import Iterator

from vm.topology import LINKS, Link

PORTS = ("eth1", "eth2")  # to the client and to the server

_HEAD = """\
set network virtual-router default interface [ ethernet1/1 ethernet1/2 ]
set import network interface [ ethernet1/1 ethernet1/2 ]
set zone trust network layer3 ethernet1/1
set zone untrust network layer3 ethernet1/2
set deviceconfig setting session timeout-tcp-time-wait 1
"""


def loaded_links() -> Iterator[Link]:
    """Those the load goes by; the firewall's other ports stay dark."""
    return (link for link in LINKS if link.port in PORTS)


def port_address(link: Link) -> str:
    """Of the firewall's end, with prefix length."""
    return f"{link.gateways[0]}/{link.addresses[0].partition('/')[2]}"


_SOURCE_NAT = """\
set rulebase nat rules behind-the-firewall from trust to untrust source any destination any \
service any source-translation dynamic-ip-and-port interface-address interface ethernet1/2
"""


_SYN_COOKIES = """\
set network profiles zone-protection-profile cookies flood tcp-syn enable yes
set network profiles zone-protection-profile cookies flood tcp-syn syn-cookies activate-rate 0
set network profiles zone-protection-profile cookies flood tcp-syn syn-cookies maximal-rate 2000000
set zone trust network zone-protection-profile cookies
set network virtual-router default routing-table ip static-route flooding \
destination 10.200.0.0/16 nexthop ip-address 192.0.2.10
"""


def configuration(
    rules: int, *, offload: bool = True, nat: bool = False, cookies: bool = False
) -> str:
    """A configuration of so many rules, as a file of set commands.

    Those that do not match differ in turn in source, destination and service, so that no single
    test sorts all of them out.
    """
    lines = [_HEAD.rstrip()]
    if nat:
        lines.append(_SOURCE_NAT.rstrip())
    if cookies:
        lines.append(_SYN_COOKIES.rstrip())
    if not offload:
        lines.append("set deviceconfig setting session offload no")
    for link in loaded_links():
        port = f"ethernet1/{link.port.removeprefix('eth')}"
        lines.append(f"set network interface ethernet {port} layer3 ip {port_address(link)}")
    services = [f"service-{number}" for number in range(1, rules // 3 + 1)]
    lines += [
        f"set service {name} protocol tcp port {20000 + number}"
        for number, name in enumerate(services)
    ]
    for number in range(rules - 1):
        network = f"10.{number >> 8 & 255}.{number & 255}.0/24"
        source = network if number % 3 == 0 else "any"
        destination = network if number % 3 == 1 else "any"
        service = services[number // 3] if number % 3 == 2 else "any"
        lines.append(_rule(f"no-match-{number}", source, destination, service))
    lines.append(_rule("allow-the-load", "192.0.2.0/24", "203.0.113.0/24", "any"))
    return "\n".join(lines) + "\n"


def _rule(name: str, source: str, destination: str, service: str) -> str:
    return (
        f"set rulebase security rules {name} from trust to untrust source {source}"
        f" destination {destination} application any service {service} action allow log-end yes"
    )
