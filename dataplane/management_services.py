"""What can be asked of the firewall's own addresses (interface management profiles)."""

from dataplane.addresses import widened
from dataplane.snapshot import ManagementProfile
from native import Undecided

_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_ECHO_REQUEST = ((_ICMP, 8), (_ICMPV6, 128))

# protocol and port, of ICMP its type
SERVICES: dict[str, tuple[tuple[int, int], ...]] = {
    "ping": _ECHO_REQUEST,
    "telnet": ((_TCP, 23),),
    "ssh": ((_TCP, 22),),
    "http": ((_TCP, 80),),
    "http-ocsp": ((_TCP, 80),),
    "https": ((_TCP, 443),),
    "snmp": ((_UDP, 161),),
    "response-pages": ((_TCP, 6080), (_TCP, 6081), (_TCP, 6082)),
    "userid-service": ((_TCP, 5007),),
    "userid-syslog-listener-ssl": ((_TCP, 6514),),
    "userid-syslog-listener-udp": ((_UDP, 514),),
}


def permits(profile: ManagementProfile, packet: Undecided) -> bool:
    """Whether the profile lets this first packet in."""
    key = packet.key
    asked = (key.proto, packet.icmp_type if key.proto in (_ICMP, _ICMPV6) else key.dport)
    if not any(asked in SERVICES[name] for name in profile.services):
        return False
    return not profile.permitted or any(
        widened(r.first) <= key.src <= widened(r.last)
        for r in profile.permitted
        if (len(r.first) == 4) == (key.family == 4)
    )
