"""Elements under `network` and `zone`: interfaces, wires, VLANs, routers, profiles, QoS."""

from __future__ import annotations

from control.config.elements import (
    Choice,
    Container,
    Element,
    Leaf,
    NamedList,
    Refused,
    container,
    kept,
    kept_leaves,
    named_list,
)
from control.config.references import (
    INTERFACE,
    LISTED_INTERFACE,
    MANAGEMENT_PROFILE,
    PORT,
    QOS_PROFILE,
    TUNNEL_INTERFACE,
    ZONE_PROTECTION_PROFILE,
)
from control.config.schema_protection import zone_protection
from control.config.value_types import (
    ADDRESS,
    ETHERNET,
    IPV4_ADDRESS,
    IPV4_INTERFACE,
    IPV4_PREFIX,
    IPV6_ADDRESS,
    IPV6_INTERFACE,
    IPV6_PREFIX,
    LOOPBACK_UNIT,
    MAC,
    MBPS,
    OWN_ADDRESS,
    PERCENT,
    PREFIX,
    TUNNEL_UNIT,
    UNIT,
    YES_NO,
    ValueType,
    name,
    number,
    one_of,
    text,
)
from dataplane.management_services import SERVICES

_COMMENT = Leaf("comment", "Anything worth knowing about it.", text(1023))
_TAG = Leaf("tag", "802.1Q tag of its packets.", number(1, 4094), required=True)


def _routed() -> tuple[Element, ...]:
    """What every interface with addresses has."""
    return (
        Leaf("ip", "IPv4 addresses of the interface.", IPV4_INTERFACE, many=True),
        container(
            "ipv6",
            "IPv6 on the interface.",
            Leaf("enabled", "Whether the interface takes IPv6 packets.", YES_NO, "no"),
            Leaf("address", "IPv6 addresses of the interface.", IPV6_INTERFACE, many=True),
            *kept("dhcp-client", "inherited", "neighbor-discovery", "dns-server"),
            *kept_leaves("interface-id"),
        ),
        Leaf(
            "mtu",
            "Largest packet in bytes; without it the Linux interface keeps its own.",
            number(576, 9216),
        ),
        container(
            "adjust-tcp-mss",
            "A smaller segment size in TCP handshakes.",
            Leaf("enable", "Whether it is made smaller.", YES_NO, "no"),
            Leaf(
                "ipv4-mss-adjustment",
                "Bytes that IPv4 segments are smaller than the MTU.",
                number(40, 300),
                "40",
            ),
            Leaf(
                "ipv6-mss-adjustment",
                "Bytes that IPv6 segments are smaller than the MTU.",
                number(60, 300),
                "60",
            ),
        ),
        Leaf(
            "interface-management-profile",
            "What may be asked of the firewall at this interface's addresses; without one nothing.",
            MANAGEMENT_PROFILE,
        ),
        *kept("bonjour", "ddns-config", "sdwan-link-settings"),
        *kept_leaves("df-ignore", "netflow-profile"),
    )


def _layer3() -> Container:
    linked = (
        container(
            "dhcp-client",
            "An address by DHCP.",
            kept_leaves("enable", "create-default-route", "default-route-metric"),
            kept("send-hostname"),
        ),
        *kept("arp", "ndp-proxy", "pppoe"),
        *kept_leaves("decrypt-forward", "traffic-interconnect"),
    )
    return container(
        "layer3",
        "A routed interface.",
        _routed(),
        linked,
        container("lldp", "Link layer discovery.", kept_leaves("enable", "profile")),
        kept_leaves("untagged-sub-interface"),
        named_list(
            "units",
            "Sub-interfaces: packets of the port with a tag.",
            "sub-interface",
            UNIT,
            _TAG,
            _routed(),
            linked,
            _COMMENT,
        ),
    )


def _ethernet() -> NamedList:
    other_modes = ("ha", "decrypt-mirror", "aggregate-group")
    modes = ("layer3", "layer2", "virtual-wire", "tap")
    return named_list(
        "ethernet",
        "Ethernet ports.",
        "port",
        ETHERNET,
        _layer3(),
        container(
            "layer2",
            "A port of a VLAN: what is within the VLAN is switched.",
            named_list(
                "units",
                "Sub-interfaces: packets of the port with a tag.",
                "sub-interface",
                UNIT,
                _TAG,
                _COMMENT,
                kept_leaves("netflow-profile"),
            ),
            kept("lldp"),
            kept_leaves("netflow-profile"),
        ),
        container(
            "virtual-wire",
            "One end of a virtual wire: what comes in leaves by the other end.",
            kept("lldp", "units"),
            kept_leaves("netflow-profile"),
        ),
        container(
            "tap",
            "A port that only listens: what it hears is inspected and dropped.",
            kept_leaves("netflow-profile"),
        ),
        _COMMENT,
        Leaf(
            "link-state",
            "With down the port takes and sends nothing, and has no addresses.",
            one_of("up", "down", "auto"),
            "auto",
        ),
        kept(*other_modes, "lacp", "poe"),
        kept_leaves("link-duplex", "link-speed"),
        choices=(Choice((*modes, *other_modes)),),
    )


def _virtual(kind: str, help: str, key: ValueType) -> Container:
    """Interfaces without a port."""
    return container(
        kind,
        help,
        named_list("units", help, f"{kind} interface", key, _routed(), _COMMENT),
        kept("adjust-tcp-mss", "bonjour", "ip", "ipv6"),
        kept_leaves("comment", "interface-management-profile", "mtu", "netflow-profile"),
    )


def _static_routes(
    version: int, destination: ValueType, nexthop: Leaf, refused: Refused
) -> Container:
    family = "ip" if version == 4 else "ipv6"
    others = ("fqdn", "next-vr", "receive", "tunnel")
    return container(
        family,
        f"IPv{version} routes.",
        named_list(
            "static-route",
            f"Static IPv{version} routes.",
            "route",
            name(),
            Leaf("destination", "Prefix the route is for.", destination, required=True),
            container(
                "nexthop",
                "Where packets go; without it the destination is on the interface's own link.",
                nexthop,
                container("discard", "Packets are dropped."),
                refused,
                (Refused(kind, f"not supported; use {nexthop.name} or discard") for kind in others),
                choices=(Choice((nexthop.name, "discard", refused.name, *others), required=True),),
            ),
            Leaf("interface", "Interface packets leave by.", INTERFACE),
            Leaf(
                "metric",
                "Of several routes to one prefix the lowest metric wins; with ecmp several of the "
                "same metric share the sessions.",
                number(1, 65535),
                "10",
            ),
            container(
                "route-table",
                "Table the route is for.",
                container("unicast", "The unicast table, the only one there is."),
                Refused("multicast", "there is no multicast table; leave the route out"),
                Refused("both", "there is no multicast table; use unicast"),
                Refused("no-install", "the route would be installed; leave it out"),
            ),
            container("bfd", "Forwarding detection.", kept_leaves("profile")),
            kept("path-monitor"),
            kept_leaves("admin-dist"),
        ),
    )


def _ecmp() -> Container:
    algorithms = ("ip-modulo", "ip-hash", "weighted-round-robin", "balanced-round-robin")
    return container(
        "ecmp",
        "Several next hops of equal cost.",
        Leaf("enable", "Whether routes of the same metric share the sessions.", YES_NO, "no"),
        Leaf("max-path", "Next hops that are used for one prefix.", number(2, 4), "2"),
        Leaf(
            "symmetric-return",
            "Replies leave by the interface the session's first packet came in by.",
            YES_NO,
            "no",
        ),
        container(
            "algorithm",
            "What chooses the next hop of a session; without it ip-modulo.",
            container("ip-modulo", "Source and destination address, modulo the next hops."),
            container(
                "ip-hash",
                "A hash of source and destination address.",
                Leaf("use-port", "The ports are hashed too.", YES_NO, "no"),
                kept_leaves("hash-seed", "src-only"),
            ),
            container(
                "weighted-round-robin",
                "In turn, as the weights of the interfaces say.",
                named_list(
                    "interface",
                    "Weights of interfaces.",
                    "interface",
                    INTERFACE,
                    Leaf("weight", "Its weight.", number(1, 255), "100"),
                ),
            ),
            container("balanced-round-robin", "In turn."),
            choices=(Choice(algorithms),),
        ),
        kept_leaves("strict-source-path"),
    )


def _virtual_routers() -> NamedList:
    return named_list(
        "virtual-router",
        "Virtual routers. The first has the kernel's main routing table, where routing daemons "
        "put theirs; each other has a table of its own.",
        "virtual router",
        name(),
        Leaf("interface", "Interfaces the router forwards between.", LISTED_INTERFACE, many=True),
        container(
            "routing-table",
            "Static routes.",
            _static_routes(
                4,
                IPV4_PREFIX,
                Leaf("ip-address", "Address of the next router.", IPV4_ADDRESS),
                Refused("ipv6-address", "an IPv4 route has an IPv4 next hop; use ip-address"),
            ),
            _static_routes(
                6,
                IPV6_PREFIX,
                Leaf("ipv6-address", "Address of the next router.", IPV6_ADDRESS),
                Refused("ip-address", "an IPv6 route has an IPv6 next hop; use ipv6-address"),
            ),
        ),
        _ecmp(),
        container(
            "multicast",
            "Multicast routing.",
            Leaf("enable", "Whether multicast is routed, to zone multicast.", YES_NO, "no"),
            kept("group-permission", "interface-group", "rp", "spt-threshold", "ssm-address-space"),
            kept_leaves("route-ageout-time"),
        ),
        kept("admin-dists", "protocol"),
    )


def _profiles() -> Container:
    return container(
        "profiles",
        "Profiles of interfaces and rules.",
        named_list(
            "interface-management-profile",
            "What may be asked of the firewall at the addresses of an interface.",
            "profile",
            name(),
            (
                Leaf(service, f"Whether {service} is answered.", YES_NO, "no")
                for service in SERVICES
            ),
            Leaf("permitted-ip", "Who may ask; without it everybody.", PREFIX, many=True),
        ),
        named_list(
            "monitor-profile",
            "How hosts are watched: asked for echoes.",
            "profile",
            name(),
            Leaf("interval", "Seconds between echoes.", number(2, 100), "3"),
            Leaf(
                "threshold",
                "Echoes in a row without an answer until the host is unreachable.",
                number(2, 10),
                "5",
            ),
            kept_leaves("action"),
        ),
        zone_protection(),
        kept(
            "bfd-profile",
            "ike-crypto-profiles",
            "ipsec-crypto-profiles",
            "global-protect-app-crypto-profiles",
            "lldp-profile",
        ),
    )


_CLASS = one_of(*(f"class{number}" for number in range(1, 9)))


def _classes(unit: str, help: str, rate: ValueType) -> Container:
    return container(
        unit,
        help,
        named_list(
            "class",
            "Classes of traffic; class4 is what no QoS rule puts elsewhere.",
            "class",
            _CLASS,
            Leaf(
                "priority",
                "Which class goes first.",
                one_of("real-time", "high", "medium", "low"),
                "medium",
            ),
            container(
                "class-bandwidth",
                "What the class may have.",
                Leaf("egress-max", "At most; 0 is as much as the interface.", rate, "0"),
                Leaf("egress-guaranteed", "At least.", rate, "0"),
            ),
        ),
    )


def _qos() -> Container:
    by_host = kept("groups", "bandwidth")
    return container(
        "qos",
        "Shaping of what leaves by an interface.",
        named_list(
            "profile",
            "QoS profiles: what each class of traffic may have.",
            "profile",
            name(),
            container(
                "aggregate-bandwidth",
                "All classes together.",
                Leaf("egress-max", "At most; 0 is as much as the interface.", MBPS, "0"),
                kept_leaves("egress-guaranteed"),
            ),
            container(
                "class-bandwidth-type",
                "The classes.",
                _classes("mbps", "Rates in Mbit/s.", MBPS),
                _classes("percentage", "Rates in percent of all classes together.", PERCENT),
                choices=(Choice(("mbps", "percentage")),),
            ),
            kept("class"),
        ),
        named_list(
            "interface",
            "Ports that shape.",
            "port",
            PORT,
            Leaf("enabled", "Whether the port shapes.", YES_NO, "yes"),
            container(
                "interface-bandwidth",
                "All that leaves by it.",
                Leaf("egress-max", "At most; 0 is what the profile says.", MBPS, "0"),
            ),
            container(
                "regular-traffic",
                "What is in no tunnel.",
                container(
                    "default-group",
                    "Traffic without a group of its own.",
                    Leaf("qos-profile", "Its profile.", QOS_PROFILE),
                ),
                by_host,
            ),
            kept("tunnel-traffic"),
        ),
    )


def _tunnel(kind: str, help: str, *own: Element) -> NamedList:
    return named_list(
        kind,
        help,
        "tunnel",
        name(),
        container(
            "local-address",
            "This end of the tunnel.",
            Leaf("interface", "Interface with the address.", INTERFACE, required=True),
            Leaf(
                "ip", "Its address; unset the interface's first of the peer's family.", OWN_ADDRESS
            ),
            required=True,
        ),
        container(
            "peer-address",
            "The other end of the tunnel.",
            Leaf("ip", "Its address.", ADDRESS, required=True),
            required=True,
        ),
        Leaf(
            "tunnel-interface",
            "Interface by which the packets within come in and leave.",
            TUNNEL_INTERFACE,
            required=True,
        ),
        Leaf("ttl", "TTL or hop limit of the packets of the tunnel.", number(1, 255), "64"),
        Leaf(
            "copy-tos",
            "Whether they have the DSCP of the packet within; ECN they have in any case.",
            YES_NO,
            "no",
        ),
        Leaf("disabled", "Whether the tunnel is off.", YES_NO, "no"),
        *own,
    )


def _tunnels() -> Container:
    return container(
        "tunnel",
        "Tunnels. What arrives for one from its peer needs no rule: the packets within do.",
        _tunnel("gre", "GRE tunnels, without key and sequence numbers.", *kept("keep-alive")),
        _tunnel("ipip", "Tunnels of IP in IP, each version in each: 6in4 is one."),
        _tunnel(
            "vxlan",
            "VXLAN tunnels with one host or router at the other end.",
            Leaf("vni", "Network identifier.", number(0, 16777215), required=True),
            Leaf("udp-port", "Destination port at both ends.", number(1, 65535), "4789"),
            Leaf("peer-mac", "MAC address at the other end; unset it is learnt.", MAC),
        ),
        kept("global-protect-gateway", "global-protect-site-to-site", "ipsec", "tunnel-monitor"),
    )


def network() -> Container:
    return container(
        "network",
        "Interfaces and routing.",
        container(
            "interface",
            "Interfaces by kind.",
            _ethernet(),
            _virtual("loopback", "Addresses of the firewall on no link.", LOOPBACK_UNIT),
            _virtual(
                "tunnel",
                "Tunnel interfaces; what is routed to one without a tunnel behind it is dropped.",
                TUNNEL_UNIT,
            ),
            kept("aggregate-ethernet", "cellular", "sdwan", "vlan"),
        ),
        named_list(
            "virtual-wire",
            "Virtual wires: what comes in at one end leaves by the other.",
            "virtual wire",
            name(),
            Leaf("interface1", "One end.", INTERFACE, required=True),
            Leaf("interface2", "The other end.", INTERFACE, required=True),
            container(
                "multicast-firewalling",
                "Multicast and broadcast.",
                Leaf("enable", "Whether they are inspected; else they just pass.", YES_NO, "no"),
            ),
            container("link-state-pass-through", "Link state.", kept_leaves("enable")),
            kept_leaves("tag-allowed"),
        ),
        named_list(
            "vlan",
            "VLANs: ports that are switched.",
            "VLAN",
            name(),
            Leaf("interface", "Layer 2 interfaces of the VLAN.", LISTED_INTERFACE, many=True),
            kept("mac", "virtual-interface"),
        ),
        _virtual_routers(),
        _profiles(),
        _qos(),
        kept("dhcp", "dns-proxy", "ike", "lldp", "logical-router"),
        _tunnels(),
        kept("secure-web-gateway", "shared-gateway"),
    )


# which interfaces a zone of a mode may have, by the element that lists them
ZONE_MODES = {
    "layer3": ("layer3", "loopback", "tunnel"),
    "layer2": ("layer2",),
    "virtual-wire": ("virtual-wire",),
    "tap": ("tap",),
    "tunnel": ("tunnel",),
}


def zone() -> NamedList:
    help = {
        "layer3": "Routed interfaces of the zone, loopback and tunnel interfaces among them.",
        "layer2": "Layer 2 interfaces of the zone.",
        "virtual-wire": "Ends of virtual wires in the zone.",
        "tap": "Listening ports of the zone.",
        "tunnel": "Tunnel interfaces of the zone.",
    }
    return named_list(
        "zone",
        "Zones: groups of interfaces that security rules speak of.",
        "zone",
        name(reserved=("any", "multicast")),
        container(
            "network",
            "What is in the zone.",
            (Leaf(mode, help[mode], LISTED_INTERFACE, many=True) for mode in ZONE_MODES),
            kept("net-inspection"),
            kept_leaves("external", many=True),
            Leaf(
                "zone-protection-profile",
                "What the zone is protected from; without one nothing but what is always refused.",
                ZONE_PROTECTION_PROFILE,
            ),
            Leaf(
                "enable-packet-buffer-protection",
                "Whether a source in the zone may be kept from filling the packet buffer.",
                YES_NO,
                "no",
            ),
            kept_leaves("log-setting"),
            choices=(Choice((*ZONE_MODES, "external")),),
        ),
        kept("device-acl", "user-acl"),
        kept_leaves("enable-device-identification", "enable-user-identification"),
    )
