"""Application names as far as they show without the payload (fact sheet 2.3, 4.13)."""

from native import SessionView

UNDECIDED = "undecided"  # a live session nobody has identified yet
NON_SYN_TCP = "non-syn-tcp"  # the session began without a SYN: its beginning was not seen
NOT_APPLICABLE = "not-applicable"  # dropped before anyone could

# identified by IP protocol alone
_BY_PROTOCOL = {
    1: "icmp",
    2: "igmp",
    4: "ip-in-ip",
    47: "gre",
    50: "ipsec-esp",
    51: "ipsec-ah",
    58: "ipv6-icmp",
    88: "eigrp",
    89: "ospf",
    103: "pim",
    112: "vrrp",
    115: "l2tp",
    132: "sctp",
}
_ICMP, _ICMP_ECHO, _TCP, _SYN = 1, 8, 6, 2


def at_setup(protocol: int, icmp_type: int, tcp_flags: int) -> str:
    """The application of a session when its first packet is seen."""
    if protocol == _TCP and not tcp_flags & _SYN:
        return NON_SYN_TCP
    if protocol == _ICMP and icmp_type == _ICMP_ECHO:
        return "ping"
    return _BY_PROTOCOL.get(protocol, UNDECIDED)


def at_end(application: str, session: SessionView) -> str:
    """What the log calls the application of a session that is over."""
    if session.action != "allow":
        return NOT_APPLICABLE
    if application != UNDECIDED:
        return application
    if session.c2s.proto == _TCP and not session.seen_data:
        return "incomplete"
    return "insufficient-data"
