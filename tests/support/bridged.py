"""Configurations of bridged ports, and pings through them: client and server in one network."""

from vm.namespaces import Lab

PORT = "set network interface ethernet ethernet1/{} {}\n"
ZONE = "set zone {} network {} ethernet1/{}\n"
WIRE = (
    PORT.format(1, "virtual-wire")
    + PORT.format(2, "virtual-wire")
    + "set network virtual-wire wire interface1 ethernet1/1 interface2 ethernet1/2\n"
    + ZONE.format("left", "virtual-wire", 1)
    + ZONE.format("right", "virtual-wire", 2)
)
VLAN = (
    PORT.format(1, "layer2")
    + PORT.format(2, "layer2")
    + "set network vlan lan interface [ ethernet1/1 ethernet1/2 ]\n"
    + ZONE.format("left", "layer2", 1)
    + ZONE.format("right", "layer2", 2)
)
TAP = (
    PORT.format(4, "tap")
    + ZONE.format("heard", "tap", 4)
    + "set rulebase security rules all from heard to heard source any destination any "
    "application any service any action allow\n"
)
RULE = (
    "set rulebase security rules out from left to right source any destination any "
    "application any service any action allow\n"
)
TARGETS = {"IPv4": ("10.1.0.1", "10.1.0.2"), "IPv6": ("2001:db8:a::1", "2001:db8:a::2")}


def pings(lab: Lab, host: str, target: str, *options: str) -> bool:
    ping = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", *options, target]
    return lab.run(host, ping).returncode == 0
