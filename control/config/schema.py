"""The configuration's elements: names, values, defaults and what each is for. The only such list.

The set syntax, the checks, completion and docs/configuration.md are all made from ROOT. Element
names are the vendor's. What a real device has beyond this is listed too, as kept without effect,
so that its configuration can be loaded and nothing in it vanishes.
"""

from __future__ import annotations

import re

from control.config import applications
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
from control.config.errors import shown, suggestion
from control.config.value_types import (
    APPLICATION_PORT,
    ETHERNET,
    IPV4_ADDRESS,
    IPV4_INTERFACE,
    IPV4_PREFIX,
    IPV6_ADDRESS,
    IPV6_INTERFACE,
    IPV6_PREFIX,
    PORTS,
    PREFIX,
    RANGE,
    YES_NO,
    Reference,
    ValueType,
    literal_addresses,
    matching,
    name,
    number,
    one_of,
    only,
    reference,
    text,
)
from native import ACTIONS, TIMERS, TimerInfo

INTERFACES = ("network", "interface", "ethernet")
VIRTUAL_ROUTERS = ("network", "virtual-router")
SECURITY_RULES = ("rulebase", "security", "rules")
OVERRIDE_RULES = ("rulebase", "application-override", "rules")
DEFAULT_RULES = ("rulebase", "default-security-rules", "rules")
SESSION_SETTINGS = ("deviceconfig", "setting", "session")
UDP_SERVICE_TIMEOUT = ("service", "", "protocol", "udp", "override", "yes", "timeout")
TCP_SETTINGS = ("deviceconfig", "setting", "tcp")
MAX_SESSIONS = ("import", "resource", "max-sessions")
HOSTNAME = ("deviceconfig", "system", "hostname")

INTRAZONE_DEFAULT, INTERZONE_DEFAULT = "intrazone-default", "interzone-default"

# Destination ports of the services that are there without being configured; both are TCP.
PREDEFINED_SERVICES = {"service-http": "80,8080", "service-https": "443"}

# ---- references ----------------------------------------------------------------------------------

# Interfaces of kinds that are kept without effect may be listed where that takes nothing away.
_OTHER_INTERFACES = re.compile(
    r"(?:ethernet[1-9][0-9]?/[1-9][0-9]{0,2}|ae[1-9][0-9]?)\.[1-9][0-9]{0,3}"
    r"|ae[1-9][0-9]?|(?:tunnel|loopback|vlan)(?:\.[1-9][0-9]{0,3})?"
)
_LISTED_INTERFACE = reference(
    "a configured interface",
    Reference("interface", (INTERFACES,), not_enforced=_OTHER_INTERFACES),
)
_INTERFACE = reference("a configured interface", Reference("interface", (INTERFACES,)))
_VIRTUAL_ROUTER = reference(
    "a configured virtual router", Reference("virtual router", (VIRTUAL_ROUTERS,))
)
_ZONE = reference("a zone or any", Reference("zone", (("zone",),)), "any")
_ADDRESS_LISTS = (("address",), ("address-group",))
_ADDRESS = reference(
    "an address object, an address group, an address, a prefix, a range, or any",
    Reference("address or address group", _ADDRESS_LISTS, literal=literal_addresses),
    "any",
)
_ADDRESS_MEMBER = reference(
    "an address object or an address group", Reference("address or address group", _ADDRESS_LISTS)
)
_SERVICES = Reference(
    "service or service group",
    (("service",), ("service-group",)),
    predefined=tuple(PREDEFINED_SERVICES),
)
_SERVICE = reference(
    "a service, a service group, any, or application-default",
    _SERVICES,
    "any",
    "application-default",
)
_SERVICE_MEMBER = reference("a service or a service group", _SERVICES)
_APPLICATION = reference(
    "a predefined application such as ssl, or one that application configures",
    Reference(
        "application", (applications.APPLICATIONS,), predefined=tuple(applications.PREDEFINED)
    ),
)

# ---- network -------------------------------------------------------------------------------------


def _ethernet() -> NamedList:
    layer3 = container(
        "layer3",
        "A routed interface.",
        Leaf("ip", "IPv4 addresses of the interface.", IPV4_INTERFACE, many=True),
        container(
            "ipv6",
            "IPv6 on the interface.",
            Leaf("enabled", "Whether the interface takes IPv6 packets.", YES_NO, "no"),
            Leaf("address", "IPv6 addresses of the interface.", IPV6_INTERFACE, many=True),
            kept("dhcp-client", "inherited", "neighbor-discovery", "dns-server"),
            kept_leaves("interface-id"),
        ),
        Leaf(
            "mtu",
            "Largest packet in bytes; without it the Linux interface keeps its own.",
            number(576, 9216),
        ),
        container(
            "adjust-tcp-mss",
            "A smaller segment size in TCP handshakes.",
            kept_leaves("enable", "ipv4-mss-adjustment", "ipv6-mss-adjustment"),
        ),
        container(
            "dhcp-client",
            "An address by DHCP.",
            kept_leaves("enable", "create-default-route", "default-route-metric"),
            kept("send-hostname"),
        ),
        container("lldp", "Link layer discovery.", kept_leaves("enable", "profile")),
        kept("arp", "bonjour", "ddns-config", "ndp-proxy", "pppoe", "sdwan-link-settings"),
        kept("units"),
        kept_leaves(
            "decrypt-forward",
            "df-ignore",
            "interface-management-profile",
            "netflow-profile",
            "traffic-interconnect",
            "untagged-sub-interface",
        ),
    )
    other_modes = ("layer2", "virtual-wire", "tap", "ha", "decrypt-mirror", "aggregate-group")
    return named_list(
        "ethernet",
        "Ethernet ports.",
        "port",
        ETHERNET,
        layer3,
        Leaf("comment", "Anything worth knowing about the port.", text(1023)),
        Leaf(
            "link-state",
            "With down the port takes and sends nothing, and has no addresses.",
            one_of("up", "down", "auto"),
            "auto",
        ),
        kept(*other_modes, "lacp", "poe"),
        kept_leaves("link-duplex", "link-speed"),
        choices=(Choice(("layer3", *other_modes)),),
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
            Leaf("interface", "Interface packets leave by.", _INTERFACE),
            Leaf(
                "metric",
                "Of several routes to one prefix the lowest metric wins.",
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


def _network() -> Container:
    return container(
        "network",
        "Interfaces and routing.",
        container(
            "interface",
            "Interfaces by kind.",
            _ethernet(),
            kept("aggregate-ethernet", "cellular", "loopback", "sdwan", "tunnel", "vlan"),
        ),
        named_list(
            "virtual-router",
            "Virtual routers.",
            "virtual router",
            name(),
            Leaf(
                "interface",
                "Interfaces the router forwards between.",
                _LISTED_INTERFACE,
                many=True,
            ),
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
            kept("admin-dists", "ecmp", "multicast", "protocol"),
        ),
        kept("dhcp", "dns-proxy", "ike", "lldp", "logical-router", "profiles", "qos"),
        kept("secure-web-gateway", "shared-gateway", "tunnel", "virtual-wire", "vlan"),
    )


def _zone() -> NamedList:
    return named_list(
        "zone",
        "Zones: groups of interfaces that security rules speak of.",
        "zone",
        name(reserved=("any", "multicast")),
        container(
            "network",
            "What is in the zone.",
            Leaf("layer3", "Routed interfaces of the zone.", _LISTED_INTERFACE, many=True),
            kept("net-inspection", "tunnel"),
            kept_leaves("external", "layer2", "tap", "virtual-wire", many=True),
            kept_leaves(
                "enable-packet-buffer-protection", "log-setting", "zone-protection-profile"
            ),
        ),
        kept("device-acl", "user-acl"),
        kept_leaves("enable-device-identification", "enable-user-identification"),
    )


# ---- objects -------------------------------------------------------------------------------------

_TAGS = Leaf("tag", "Labels; they have no effect on traffic.", text(127), many=True)
_DESCRIPTION = Leaf("description", "Anything worth knowing about it.", text(1023))


def _objects() -> tuple[Element, ...]:
    fixed = "use ip-netmask or ip-range"
    own_timers = {
        "tcp": (
            Leaf("timeout", "Seconds: established TCP.", number(1, 604_800)),
            Leaf("halfclose-timeout", "Seconds: TCP after the first FIN.", number(1, 604_800)),
            Leaf(
                "timewait-timeout",
                "Seconds: TCP after the second FIN or a RST.",
                number(1, 600),
            ),
        ),
        "udp": (Leaf("timeout", "Seconds: UDP.", number(1, 604_800), "30"),),
    }
    protocols = (
        container(
            protocol,
            f"A {protocol.upper()} service.",
            Leaf("port", "Destination ports.", PORTS, required=True),
            Leaf("source-port", "Source ports; without it every one.", PORTS),
            container(
                "override",
                "Timers of its own.",
                container("no", "None: the timers of the session's application hold."),
                container(
                    "yes",
                    "These go before the timers of the session's application, one by one.",
                    timers,
                ),
                choices=(Choice(("no", "yes")),),
            ),
        )
        for protocol, timers in own_timers.items()
    )
    return (
        named_list(
            "address",
            "Address objects.",
            "address",
            name(reserved=("any",)),
            Leaf("ip-netmask", "An address or a prefix.", PREFIX),
            Leaf("ip-range", "From the first to the last address, both included.", RANGE),
            Refused("fqdn", f"host names are not supported; {fixed}"),
            Refused("ip-wildcard", f"wildcard masks are not supported; {fixed}"),
            _DESCRIPTION,
            _TAGS,
            choices=(Choice(("ip-netmask", "ip-range", "fqdn", "ip-wildcard"), required=True),),
        ),
        named_list(
            "address-group",
            "Groups of address objects and of other groups.",
            "address group",
            name(reserved=("any",)),
            Leaf("static", "Members of the group.", _ADDRESS_MEMBER, many=True, required=True),
            Refused("dynamic", "groups by tag are not supported; use static"),
            _DESCRIPTION,
            _TAGS,
            choices=(Choice(("static", "dynamic")),),
        ),
        named_list(
            "service",
            "Services: TCP or UDP ports.",
            "service",
            name(reserved=("any", "application-default")),
            container(
                "protocol",
                "The service's protocol.",
                protocols,
                Refused("sctp", "SCTP services are not supported; use tcp or udp"),
                choices=(Choice(("tcp", "udp", "sctp"), required=True),),
                required=True,
            ),
            _DESCRIPTION,
            _TAGS,
        ),
        named_list(
            "service-group",
            "Groups of services and of other groups.",
            "service group",
            name(reserved=("any", "application-default")),
            Leaf("members", "Members of the group.", _SERVICE_MEMBER, many=True, required=True),
            _TAGS,
        ),
        _applications(),
    )


_APPLICATION_TIMERS = [
    Leaf(element, f"Seconds: {help}", number(*applications.TIMERS[element]))
    for element, help in {
        "timeout": "every protocol without a timer of its own below; 0 is the global timer.",
        "tcp-timeout": "established TCP; 0 is the global timer.",
        "udp-timeout": "UDP; 0 is the global timer.",
        "tcp-half-closed-timeout": "TCP after the first FIN.",
        "tcp-time-wait-timeout": "TCP after the second FIN or a RST.",
    }.items()
]
# what the log and session tables call a session whose application is not known
_PSEUDO_APPLICATIONS = (
    "ftp-data",
    "incomplete",
    "insufficient-data",
    "non-syn-tcp",
    "not-applicable",
    "undecided",
)


def _applications() -> NamedList:
    no_effect = "; without effect, as applications are not identified."
    icmp_type = (
        Leaf("type", f"Type of its messages{no_effect}", number(0, 255), required=True),
        Leaf("code", f"Code of its messages{no_effect}", number(0, 255)),
    )
    ways = ("port", "ident-by-ip-protocol", "ident-by-icmp-type", "ident-by-icmp6-type")
    return named_list(
        "application",
        "Applications beside the predefined ones, for application override rules to name.",
        "application",
        name(reserved=("any", *_PSEUDO_APPLICATIONS)),
        _APPLICATION_TIMERS,
        container(
            "default",
            "Where it is found by default.",
            Leaf("port", f"Its ports{no_effect}", APPLICATION_PORT, many=True),
            Leaf("ident-by-ip-protocol", f"Its IP protocol{no_effect}", number(0, 255)),
            container("ident-by-icmp-type", "ICMP message.", icmp_type),
            container("ident-by-icmp6-type", "ICMPv6 message.", icmp_type),
            choices=(Choice(ways),),
        ),
        _DESCRIPTION,
        _TAGS,
        kept_leaves("category", "subcategory", "technology", "risk", "parent-app"),
        kept_leaves("alg-disable-capability", "no-appid-caching"),
        kept_leaves(
            "able-to-transfer-file",
            "consume-big-bandwidth",
            "data-ident",
            "evasive-behavior",
            "file-type-ident",
            "has-known-vulnerability",
            "pervasive-use",
            "prone-to-misuse",
            "spyware-ident",
            "tunnel-applications",
            "tunnel-other-application",
            "used-by-malware",
            "virus-ident",
        ),
        kept("signature"),
    )


# ---- policy --------------------------------------------------------------------------------------

_ACTION = one_of(*ACTIONS)
_WIDER = "the rule would match more than it says"
_LOG_START = Leaf("log-start", "Log a session when it starts.", YES_NO, "no")


def _security_rules() -> NamedList:
    criteria = {
        "source-user": "Users.",
        "category": "URL categories.",
        "application": "Applications.",
        "hip-profiles": "State of the client, as in older configurations.",
        "source-hip": "State of the source host.",
        "destination-hip": "State of the destination host.",
        "source-device": "Kind of the source device.",
        "destination-device": "Kind of the destination device.",
    }
    profiles = (
        "data-filtering",
        "file-blocking",
        "gtp",
        "sctp",
        "spyware",
        "url-filtering",
        "virus",
    )
    return named_list(
        "rules",
        "Security rules; the first that matches decides.",
        "rule",
        name(63, reserved=(INTRAZONE_DEFAULT, INTERZONE_DEFAULT)),
        Leaf("from", "Zones packets come from.", _ZONE, many=True, required=True),
        Leaf(
            "to",
            "Zones packets go to; an intrazone rule has none.",
            _ZONE,
            many=True,
            required=True,
            unless=("rule-type", "intrazone"),
        ),
        Leaf("source", "Addresses packets come from.", _ADDRESS, many=True, required=True),
        Leaf("destination", "Addresses packets go to.", _ADDRESS, many=True, required=True),
        (
            Leaf(criterion, help, only("any", _WIDER), "any", many=True)
            for criterion, help in criteria.items()
        ),
        Leaf(
            "service",
            "Services. With application any, application-default is every service too.",
            _SERVICE,
            "application-default",
            many=True,
        ),
        Leaf("action", "What happens to a session the rule matches.", _ACTION, required=True),
        Leaf(
            "rule-type",
            "Whether the rule is for traffic within a zone, between zones, or both.",
            one_of("universal", "intrazone", "interzone"),
            "universal",
        ),
        Leaf("negate-source", "Match every source but those listed.", YES_NO, "no"),
        Leaf("negate-destination", "Match every destination but those listed.", YES_NO, "no"),
        _LOG_START,
        Leaf("log-end", "Log a session when it ends.", YES_NO, "yes"),
        Leaf("disabled", "The rule is skipped.", YES_NO, "no"),
        _DESCRIPTION,
        _TAGS,
        Refused("schedule", "schedules are not enforced: the rule would always match; remove it"),
        container(
            "profile-setting",
            "Inspection of content.",
            kept_leaves("group", many=True),
            container(
                "profiles",
                "Profiles one by one.",
                kept_leaves(*profiles, "vulnerability", "wildfire-analysis", many=True),
            ),
        ),
        container(
            "option", "Options of inspection.", kept_leaves("disable-server-response-inspection")
        ),
        kept("qos"),
        kept_leaves("group-tag", "icmp-unreachable", "log-setting", "uuid"),
    )


def _override_rules() -> NamedList:
    return named_list(
        "rules",
        "Application override rules; the first that matches names the application of a session.",
        "rule",
        name(63),
        Leaf("from", "Zones packets come from.", _ZONE, many=True, required=True),
        Leaf("to", "Zones packets go to.", _ZONE, many=True, required=True),
        Leaf("source", "Addresses packets come from.", _ADDRESS, many=True, required=True),
        Leaf("destination", "Addresses packets go to.", _ADDRESS, many=True, required=True),
        Leaf("protocol", "Protocol of the session.", one_of("tcp", "udp"), "tcp"),
        Leaf("port", "Destination ports.", PORTS, required=True),
        Leaf("application", "What the session is.", _APPLICATION, required=True),
        Leaf("negate-source", "Match every source but those listed.", YES_NO, "no"),
        Leaf("negate-destination", "Match every destination but those listed.", YES_NO, "no"),
        Leaf("disabled", "The rule is skipped.", YES_NO, "no"),
        _DESCRIPTION,
        _TAGS,
        kept_leaves("group-tag", "uuid"),
    )


def _rulebase() -> Container:
    return container(
        "rulebase",
        "Policies.",
        container("security", "Security policy.", _security_rules()),
        container(
            "default-security-rules",
            "What happens to sessions no security rule matches.",
            named_list(
                "rules",
                "The two default rules: intrazone-default allows, interzone-default denies.",
                "default rule",
                one_of(INTRAZONE_DEFAULT, INTERZONE_DEFAULT),
                Leaf("action", "What happens to the session.", _ACTION),
                _LOG_START,
                Leaf("log-end", "Log a session when it ends.", YES_NO, "no"),
                container(
                    "profile-setting",
                    "Inspection of content.",
                    kept_leaves("group", many=True),
                    kept("profiles"),
                ),
                kept_leaves("group-tag", "icmp-unreachable", "log-setting"),
            ),
        ),
        container("application-override", "Application override policy.", _override_rules()),
        kept("authentication", "captive-portal", "decryption", "dos", "nat"),
        kept("network-packet-broker", "pbf", "qos", "sdwan", "tunnel-inspect"),
    )


# ---- device --------------------------------------------------------------------------------------

_OTHER_SESSION_SETTINGS = (
    "dhcp-bcast-session-on",
    "erspan",
    "icmp-unreachable-rate",
    "max-pending-mcast-pkts-per-session",
    "multicast-route-setup-buffering",
    "packet-buffer-protection-activate",
    "packet-buffer-protection-alert",
    "packet-buffer-protection-block-countdown",
    "packet-buffer-protection-block-duration-time",
    "packet-buffer-protection-block-hold-time",
    "packet-buffer-protection-enable",
    "packet-buffer-protection-latency-activate",
    "packet-buffer-protection-latency-alert",
    "packet-buffer-protection-latency-block-countdown",
    "packet-buffer-protection-latency-max-tolerate",
    "packet-buffer-protection-monitor-only",
    "packet-buffer-protection-use-latency",
)
_SHOWN_ONLY = "Shown by show session info, without other effect."
_SHOWN_TIMERS = ("timeout-scan", "timeout-captive-portal")


def _timer(timer: TimerInfo) -> Leaf:
    help = f"Seconds: {timer.text}."
    if timer.knob in _SHOWN_TIMERS:
        help += f" {_SHOWN_ONLY}"
    elif not timer.default_s:
        help += " Not in force unless set."
    default = str(timer.default_s) if timer.default_s else ""
    return Leaf(timer.knob, help, number(timer.min_s, timer.max_s), default)


def _session_settings() -> Container:
    return container(
        "session",
        "Session timers and session setup.",
        (_timer(timer) for timer in TIMERS),
        Leaf(
            "tcp-reject-non-syn",
            "Drop a TCP packet that belongs to no session and is no SYN.",
            YES_NO,
            "yes",
        ),
        Leaf(
            "resource-limit-behavior",
            "What becomes of packets that come faster than they can be queued: bypass lets them "
            "pass unseen.",
            one_of("drop", "bypass"),
            "drop",
        ),
        Leaf("ipv6-firewalling", "Whether IPv6 packets are taken at all.", YES_NO, "yes"),
        Leaf(
            "discard-denied",
            "A denied first packet leaves a session in discard state, so that those behind it are "
            "dropped without asking the rules again. Not an element of the vendor's.",
            YES_NO,
            "yes",
        ),
        Leaf(
            "no-refresh-on-discard",
            "A packet of a session in discard state leaves its timer alone, so that the session "
            "ends however often is tried.",
            YES_NO,
            "no",
        ),
        Leaf(
            "offload",
            "Whether the offload engine takes sessions over; it refreshes their timers only when "
            "it reports.",
            YES_NO,
            "yes",
        ),
        Leaf(
            "accelerated-aging-enable",
            "Let idle sessions end sooner while much of the session table is in use.",
            YES_NO,
            "yes",
        ),
        Leaf(
            "accelerated-aging-threshold",
            "Percentage of the session table in use from which on they do.",
            number(50, 99),
            "80",
        ),
        Leaf(
            "accelerated-aging-scaling-factor",
            "What their timers are divided by.",
            number(2, 16),
            "2",
        ),
        Leaf(
            "scan-threshold",
            "Percentage of the session table in use from which on trickling applications are "
            f"looked for. {_SHOWN_ONLY}",
            number(50, 99),
            "80",
        ),
        Leaf(
            "scan-scaling-factor",
            f"How much faster than regular aging that is. {_SHOWN_ONLY}",
            number(2, 16),
            "8",
        ),
        kept_leaves(*_OTHER_SESSION_SETTINGS),
        kept("icmpv6-rate-limit", "jumbo-frame"),
    )


def _tcp_settings() -> Container:
    return container(
        "tcp",
        "What is demanded of TCP.",
        Leaf(
            "asymmetric-path",
            "What becomes of segments out of window: bypass lets them pass, and takes every RST "
            "for verified.",
            one_of("drop", "bypass"),
            "drop",
        ),
        Leaf(
            "allow-challenge-ack",
            "Let a server answer a SYN with an ACK that fits an older connection.",
            YES_NO,
            "no",
        ),
        kept_leaves(
            "bypass-exceed-oo-queue",
            "check-timestamp-option",
            "drop-zero-flag",
            "siptcp-cleartext-proxy",
            "strip-mptcp-option",
            "tcp-retransmit-scan",
            "urgent-data",
        ),
    )


def _deviceconfig() -> Container:
    return container(
        "deviceconfig",
        "The device itself.",
        container(
            "setting",
            "Settings of the dataplane.",
            _session_settings(),
            _tcp_settings(),
            kept("advance-routing", "application", "auto-mac-detect", "cloudapp", "config", "ctd"),
            kept(
                "custom-logo", "dhcp", "dlp", "fail-open", "global-protect", "hawkeye", "iot", "l7"
            ),
            kept(
                "lockout", "logging", "management", "nat", "nat64", "packet", "pow", "proxy", "qos"
            ),
            kept("ssl-decrypt", "tunnel-acceleration", "tunnel-monitor", "url", "vpn"),
            kept("wildfire", "zip"),
        ),
        container(
            "system",
            "The system.",
            Leaf(
                "hostname",
                "Name of the firewall.",
                matching(
                    "a host name of up to 31 letters, digits, - and .",
                    r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?",
                    31,
                ),
                "sixtuple",
            ),
            kept_leaves(
                "ack-login-banner",
                "authentication-profile",
                "default-gateway",
                "domain",
                "fips-mode",
                "fqdn-refresh-time",
                "hostname-type-in-syslog",
                "ip-address",
                "ipv6-address",
                "ipv6-default-gateway",
                "locale",
                "login-banner",
                "mtu",
                "netmask",
                "non-ui-authentication-profile",
                "panorama-server",
                "panorama-server-2",
                "secure-proxy-password",
                "secure-proxy-port",
                "secure-proxy-server",
                "secure-proxy-user",
                "server-verification",
                "speed-duplex",
                "ssl-tls-service-profile",
                "timezone",
                "update-server",
                "vpn-disable-mode",
                "web-server-certificate",
            ),
            kept(
                "config-bundle-export-schedule", "device-telemetry", "dns-setting", "domain-lookup"
            ),
            kept("geo-location", "inline-url-classification", "log-export-schedule", "log-link"),
            kept("lcaas-use-proxy", "motd-and-banner", "ntp-servers", "panorama", "permitted-ip"),
            kept("quota-settings", "route", "service", "snmp-setting", "ssh", "type"),
            kept("update-schedule"),
        ),
        kept("high-availability", "plugins"),
    )


def _import() -> Container:
    return container(
        "import",
        "What belongs to the one virtual system, vsys1; everything does, listed or not.",
        container(
            "network",
            "Network elements of vsys1.",
            Leaf("interface", "Interfaces.", _LISTED_INTERFACE, many=True),
            Leaf("virtual-router", "Virtual routers.", _VIRTUAL_ROUTER, many=True),
            kept_leaves("logical-router", "virtual-wire", "vlan", many=True),
        ),
        container(
            "resource",
            "What vsys1 may use.",
            Leaf(
                "max-sessions",
                "Sessions it may have; 0 is no limit but the session table. Accelerated aging "
                "goes by it where it is less.",
                number(0, 10_000_000),
                "0",
            ),
            kept_leaves(
                "max-application-override-rules",
                "max-auth-rules",
                "max-concurrent-ssl-vpn-tunnels",
                "max-cp-rules",
                "max-dos-rules",
                "max-nat-rules",
                "max-pbf-rules",
                "max-qos-rules",
                "max-security-rules",
                "max-site-to-site-vpn-tunnels",
                "max-ssl-decryption-rules",
            ),
        ),
        kept("visible-vsys"),
    )


# subtrees of the configuration that may stand in shared as well
_OTHER_SUBTREES = (
    "application-filter",
    "application-group",
    "application-status",
    "application-tag",
    "authentication-object",
    "authentication-profile",
    "authentication-sequence",
    "botnet",
    "captive-portal",
    "certificate",
    "certificate-profile",
    "device-object",
    "dns-proxy",
    "dynamic-user-group",
    "email-scheduler",
    "external-list",
    "global-protect",
    "group-mapping",
    "local-user-database",
    "log-settings",
    "ocsp-responder",
    "pdf-summary-report",
    "profile-group",
    "profiles",
    "redistribution-agent",
    "redistribution-collector",
    "region",
    "report-group",
    "reports",
    "response-page",
    "scep",
    "schedule",
    "sdwan-interface-profile",
    "server-profile",
    "setting",
    "ssl-decrypt",
    "ssl-tls-service-profile",
    "tag",
    "threats",
    "ts-agent",
    "user-id-agent",
    "user-id-collector",
    "user-id-ssl-auth",
    "vm-info-source",
)


def _shared() -> Container:
    return container(
        "shared",
        "What all virtual systems share.",
        container(
            "override",
            "Changes of what is predefined.",
            named_list(
                "application",
                "Timers of predefined applications.",
                "application",
                name(),
                _APPLICATION_TIMERS,
                kept_leaves("risk"),
            ),
        ),
        kept("address", "address-group", "application", "service", "service-group"),
        kept("admin-role", "alg-override", "content-preview", "post-rulebase", "pre-rulebase"),
        kept("ssl-exclude-cert", *_OTHER_SUBTREES),
    )


ROOT = container(
    "",
    "The configuration.",
    _network(),
    _zone(),
    _objects(),
    _rulebase(),
    _deviceconfig(),
    _import(),
    _shared(),
    kept("mgt-config", *_OTHER_SUBTREES),
    kept_leaves("display-name"),
)


def element(*path: str) -> Element:
    """The element at a path of elements and entry names. Raises KeyError where there is none."""
    at: Element = ROOT
    for word in path:
        if isinstance(at, NamedList):
            at = at.entry
        elif isinstance(at, Container):
            at = at.children[word]
        else:
            raise KeyError(word)
    return at


def default(*path: str) -> str:
    """The default of the leaf there."""
    leaf = element(*path)
    assert isinstance(leaf, Leaf)
    return leaf.default


def unknown(word: str, among: Container) -> str:
    """The message for a word that is none of a container's elements."""
    if not among.children:
        return f"nothing may stand behind this, but {shown(word)} does"
    close = suggestion(word, among.children)
    return f"unknown element {shown(word)}" + (close or f"; possible are {among.right()}")
