"""The hosts of a lab, their links and their addresses; everything else in `vm` reads them here.

    client  192.0.2.10       192.0.2.1 eth1+----------+eth2 203.0.113.1      203.0.113.10 server
            2001:db8:1::10 --------- trust | firewall | untrust ---------- 2001:db8:2::10
                                           |          |                     and .20, ::20 for ping
    client2 192.0.2.130    192.0.2.129 eth3|          |eth4 198.51.100.1     198.51.100.10 dmz
            2001:db8:3::10 --------- trust +----------+ dmz -------------- 2001:db8:4::10

Where the firewall is a machine, its management port and a port with tagged hosts are there as well:

    admin   192.168.1.2   192.168.1.1 eth0 (management)
    red     10.10.0.10        10.10.0.1 eth5, VLAN 10
    blue    10.20.0.10        10.20.0.1 eth5, VLAN 20

The firewall gets its own addresses from its configuration (lab.set), not from here, except that of
management; a host knows them as its gateways. Every host's end of its link is eth0.
"""

from typing import NamedTuple

FIREWALL = "firewall"


class Link(NamedTuple):
    """A host and its link to the firewall."""

    host: str
    port: str  # the firewall's end
    addresses: tuple[str, ...]  # the host's, with prefix length
    gateways: tuple[str, ...]  # the firewall's, without
    vlan: int = 0  # of its frames on the firewall's port; 0: untagged


LINKS = (
    Link(
        "client",
        "eth1",
        ("192.0.2.10/25", "2001:db8:1::10/64"),
        ("192.0.2.1", "2001:db8:1::1"),
    ),
    Link(
        "server",
        "eth2",
        ("203.0.113.10/24", "203.0.113.20/24", "2001:db8:2::10/64", "2001:db8:2::20/64"),
        ("203.0.113.1", "2001:db8:2::1"),
    ),
    Link(
        "client2",
        "eth3",
        ("192.0.2.130/25", "2001:db8:3::10/64"),
        ("192.0.2.129", "2001:db8:3::1"),
    ),
    Link(
        "dmz",
        "eth4",
        ("198.51.100.10/24", "2001:db8:4::10/64"),
        ("198.51.100.1", "2001:db8:4::1"),
    ),
)
HOSTS = (*(link.host for link in LINKS), FIREWALL)

MANAGEMENT = Link("admin", "eth0", ("192.168.1.2/24",), ())
MANAGEMENT_ADDRESS = "192.168.1.1"
TAGGED = (
    Link(
        "red",
        "eth5",
        ("10.10.0.10/24", "2001:db8:10::10/64"),
        ("10.10.0.1", "2001:db8:10::1"),
        vlan=10,
    ),
    Link(
        "blue",
        "eth5",
        ("10.20.0.10/24", "2001:db8:20::10/64"),
        ("10.20.0.1", "2001:db8:20::1"),
        vlan=20,
    ),
)
MACHINE_LINKS = (MANAGEMENT, *LINKS, *TAGGED)
MACHINE_HOSTS = (*(link.host for link in MACHINE_LINKS), FIREWALL)

SERVER = "203.0.113.10"
SERVER6 = "2001:db8:2::10"
PING_TARGET = "203.0.113.20"  # the server too: the addresses that policy lets be pinged
PING_TARGET6 = "2001:db8:2::20"
CLIENT2 = "192.0.2.130"
CLIENT2_6 = "2001:db8:3::10"
DMZ = "198.51.100.10"
WEB_NAME = "www.example.test"  # what the DNS server answers for, with the server's addresses
