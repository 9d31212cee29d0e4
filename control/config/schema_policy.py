"""Elements under `rulebase`: security, translation, forwarding, QoS, DoS, application override."""

from __future__ import annotations

from collections.abc import Iterator

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
from control.config.paths import INTERZONE_DEFAULT, INTRAZONE_DEFAULT
from control.config.references import (
    ADDRESS,
    ANY_INTERFACE,
    APPLICATION,
    APPLICATIONS,
    DOS_PROFILE,
    INTERFACE,
    MONITOR_PROFILE,
    ONE_ZONE,
    PLAIN_SERVICE,
    SCHEDULE,
    SERVICE,
    TO_ZONE,
    TRANSLATED_ADDRESS,
    ZONE,
)
from control.config.schema_objects import DESCRIPTION, TAGS
from control.config.value_types import (
    ADDRESS as ONE_ADDRESS,
)
from control.config.value_types import (
    ASSURED_FORWARDING,
    CLASS_SELECTORS,
    DSCP,
    EXPEDITED_FORWARDING,
    PORTS,
    PRECEDENCE,
    YES_NO,
    ValueType,
    matching,
    name,
    number,
    one_of,
    only,
)
from native import ACTIONS

_ACTION = one_of(*ACTIONS)
_WIDER = "the rule would match more than it says"
_LOG_START = Leaf("log-start", "Log a session when it starts.", YES_NO, "no")
_FROM = Leaf("from", "Zones packets come from.", ZONE, many=True, required=True)
_ICMP_UNREACHABLE = Leaf("icmp-unreachable", "Tell who is denied by an ICMP message.", YES_NO, "no")
_PORT = number(1, 65535)


def _to(zone: ValueType, unless: tuple[str, str] | None = None) -> Leaf:
    help = "Zones packets go to."
    if unless:
        help = "Zones packets go to; an intrazone rule has none."
    return Leaf("to", help, zone, many=True, required=True, unless=unless)


def _side(name: str, help: str, zone: ValueType) -> Container:
    return container(
        name,
        help,
        Leaf("zone", "Zones.", zone, many=True),
        Leaf("interface", "Interfaces.", INTERFACE, many=True),
        choices=(Choice(("zone", "interface"), required=True),),
        required=True,
    )


def _addresses() -> Iterator[Element]:
    yield Leaf("source", "Addresses packets come from.", ADDRESS, many=True, required=True)
    yield Leaf("destination", "Addresses packets go to.", ADDRESS, many=True, required=True)


def _negations() -> Iterator[Element]:
    yield Leaf("negate-source", "Match every source but those listed.", YES_NO, "no")
    yield Leaf("negate-destination", "Match every destination but those listed.", YES_NO, "no")


def _criteria(**criteria: str) -> Iterator[Element]:
    """What a rule may name on a real device, and may not be narrowed by here."""
    for criterion, help in criteria.items():
        yield Leaf(criterion.replace("_", "-"), help, only("any", _WIDER), "any", many=True)


def _common() -> Iterator[Element]:
    yield Leaf("disabled", "The rule is skipped.", YES_NO, "no")
    yield from (DESCRIPTION, TAGS)
    yield from kept_leaves("group-tag", "uuid")


def _security_rules() -> NamedList:
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
        _FROM,
        _to(TO_ZONE, unless=("rule-type", "intrazone")),
        _addresses(),
        _criteria(source_user="Users.", category="URL categories."),
        Leaf(
            "application",
            "Applications. They are known by their default ports alone, so others than any need "
            "service application-default.",
            APPLICATIONS,
            "any",
            many=True,
        ),
        _criteria(
            hip_profiles="State of the client, as in older configurations.",
            source_hip="State of the source host.",
            destination_hip="State of the destination host.",
            source_device="Kind of the source device.",
            destination_device="Kind of the destination device.",
        ),
        Leaf(
            "service",
            "Services. application-default is the default ports of the applications, with "
            "application any every service.",
            SERVICE,
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
        _negations(),
        _LOG_START,
        Leaf("log-end", "Log a session when it ends.", YES_NO, "yes"),
        _ICMP_UNREACHABLE,
        Leaf("schedule", "When the rule is in force; without it always.", SCHEDULE),
        container(
            "qos",
            "Marking of what is allowed.",
            container(
                "marking",
                "The DSCP of its packets; without it they keep theirs.",
                Leaf("ip-dscp", "A codepoint.", DSCP),
                Leaf("ip-precedence", "A precedence; the other bits become 0.", PRECEDENCE),
                container(
                    "follow-c2s-flow", "Replies have the DSCP of the session's first packet."
                ),
                choices=(Choice(("ip-dscp", "ip-precedence", "follow-c2s-flow")),),
            ),
        ),
        _common(),
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
        kept_leaves("log-setting"),
    )


def _default_rules() -> NamedList:
    return named_list(
        "rules",
        "The two default rules: intrazone-default allows, interzone-default denies.",
        "default rule",
        one_of(INTRAZONE_DEFAULT, INTERZONE_DEFAULT),
        Leaf("action", "What happens to the session.", _ACTION),
        _LOG_START,
        Leaf("log-end", "Log a session when it ends.", YES_NO, "no"),
        _ICMP_UNREACHABLE,
        container(
            "profile-setting",
            "Inspection of content.",
            kept_leaves("group", many=True),
            kept("profiles"),
        ),
        kept_leaves("group-tag", "log-setting"),
    )


def _override_rules() -> NamedList:
    return named_list(
        "rules",
        "Application override rules; the first that matches names the application of a session.",
        "rule",
        name(63),
        _FROM,
        _to(ZONE),
        _addresses(),
        Leaf("protocol", "Protocol of the session.", one_of("tcp", "udp"), "tcp"),
        Leaf("port", "Destination ports.", PORTS, required=True),
        Leaf("application", "What the session is.", APPLICATION, required=True),
        _negations(),
        _common(),
    )


def _pool() -> tuple[Element, ...]:
    """What sources share: addresses, or those of an interface."""
    return (
        Leaf("translated-address", "Addresses they share.", TRANSLATED_ADDRESS, many=True),
        container(
            "interface-address",
            "An interface's own address.",
            Leaf("interface", "The interface.", INTERFACE, required=True),
            Leaf(
                "ip",
                "Which of its addresses; without it the first IPv4 one, for a rule that lists IPv6 "
                "addresses the first IPv6 one.",
                _INTERFACE_IP,
            ),
            Refused("floating-ip", "there is no high availability; use ip"),
        ),
    )


_INTERFACE_IP = matching(
    "an address of the interface such as 192.0.2.1 or 192.0.2.1/24", r"[0-9a-fA-F.:/]+", 43
)
_ONE_POOL = (Choice(("translated-address", "interface-address"), required=True),)


def _nat_rules() -> NamedList:
    translated_port = Leaf("translated-port", "Port packets go to; without it theirs.", _PORT)
    return named_list(
        "rules",
        "Translation rules. The first that matches the packet as it came in decides, the zone it "
        "goes to being that of the route to its original destination; a rule without a translation "
        "exempts what it matches. IPv6 addresses may be translated like IPv4 ones, which the "
        "vendor's rules of type ipv4 do not.",
        "rule",
        name(63),
        _FROM,
        _to(ZONE),
        Leaf(
            "to-interface",
            "Interface of the route to the original destination.",
            ANY_INTERFACE,
            "any",
        ),
        _addresses(),
        Leaf("service", "The service.", PLAIN_SERVICE, "any"),
        Leaf(
            "nat-type",
            "With nptv6 IPv6 prefixes are exchanged without a change of checksums.",
            one_of("ipv4", "nptv6"),
            "ipv4",
        ),
        container(
            "source-translation",
            "Another source.",
            container(
                "dynamic-ip-and-port",
                "Many sources behind few addresses, told apart by their ports.",
                _pool(),
                choices=_ONE_POOL,
            ),
            container(
                "dynamic-ip",
                "An address for each source as long as it has sessions; ports stay.",
                Leaf(
                    "translated-address",
                    "The addresses, up to 32,000 consecutive ones.",
                    TRANSLATED_ADDRESS,
                    many=True,
                    required=True,
                ),
                container(
                    "fallback",
                    "What sources share once all addresses are taken.",
                    _pool(),
                    choices=_ONE_POOL,
                ),
            ),
            container(
                "static-ip",
                "One to one, in order; ports stay.",
                Leaf(
                    "translated-address",
                    "As many consecutive addresses as source has.",
                    TRANSLATED_ADDRESS,
                    required=True,
                ),
                Leaf(
                    "bi-directional",
                    "Packets from anywhere to the translated addresses reach the sources.",
                    YES_NO,
                    "no",
                ),
            ),
            choices=(Choice(("dynamic-ip-and-port", "dynamic-ip", "static-ip"), required=True),),
        ),
        container(
            "destination-translation",
            "Another destination.",
            Leaf(
                "translated-address",
                "One address, or as many consecutive ones as destination has.",
                TRANSLATED_ADDRESS,
                required=True,
            ),
            translated_port,
            kept("dns-rewrite"),
        ),
        container(
            "dynamic-destination-translation",
            "One of several servers for each session.",
            Leaf(
                "translated-address",
                "The servers.",
                TRANSLATED_ADDRESS,
                many=True,
                required=True,
            ),
            translated_port,
            Leaf(
                "distribution",
                "What chooses the server.",
                one_of("round-robin", "source-ip-hash", "ip-modulo", "ip-hash", "least-sessions"),
                "round-robin",
            ),
        ),
        _common(),
        kept_leaves("active-active-device-binding"),
        choices=(Choice(("destination-translation", "dynamic-destination-translation")),),
    )


def _pbf_rules() -> NamedList:
    return named_list(
        "rules",
        "Policy-based forwarding: rules that go before the routes.",
        "rule",
        name(63),
        _side("from", "Where packets come from.", ONE_ZONE),
        _addresses(),
        _negations(),
        _criteria(source_user="Users.", application="Applications."),
        Leaf("service", "Services.", PLAIN_SERVICE, "any", many=True),
        container(
            "action",
            "What happens.",
            container(
                "forward",
                "Packets leave by an interface.",
                Leaf("egress-interface", "The interface.", INTERFACE, required=True),
                container(
                    "nexthop",
                    "The next router; without it the destination is on the interface's own link.",
                    Leaf("ip-address", "Its address.", ONE_ADDRESS),
                    Refused("fqdn", "host names are not supported; use ip-address"),
                    choices=(Choice(("ip-address", "fqdn"), required=True),),
                ),
                container(
                    "monitor",
                    "A host that is asked for echoes.",
                    Leaf("profile", "How often.", MONITOR_PROFILE, "default"),
                    Leaf("ip-address", "The host; without it the next hop.", ONE_ADDRESS),
                    Leaf(
                        "disable-if-unreachable",
                        "Leave the rule out while there are no answers.",
                        YES_NO,
                        "no",
                    ),
                ),
            ),
            Refused("forward-to-vsys", "there is one virtual system; use forward"),
            container("discard", "Packets are dropped."),
            container("no-pbf", "The routes hold."),
            choices=(Choice(("forward", "forward-to-vsys", "discard", "no-pbf"), required=True),),
            required=True,
        ),
        container(
            "enforce-symmetric-return",
            "Replies leave by the interface the session's first packet came in by.",
            Leaf("enabled", "Whether they do.", YES_NO, "no"),
            Leaf(
                "nexthop-address-list",
                "Routers they may go to, at most 8; without them who sent the first packet.",
                ONE_ADDRESS,
                many=True,
            ),
        ),
        Refused("schedule", "schedules are for security rules only; remove it"),
        _common(),
        kept_leaves("active-active-device-binding"),
    )


def _codepoints() -> NamedList:
    kinds = {
        "ef": one_of(*EXPEDITED_FORWARDING),
        "af": one_of(*ASSURED_FORWARDING),
        "cs": one_of(*CLASS_SELECTORS),
        "tos": one_of(*CLASS_SELECTORS),
    }
    help = {
        "ef": "Expedited forwarding.",
        "af": "Assured forwarding.",
        "cs": "A class selector.",
        "tos": "An IP precedence, whatever the other bits are.",
    }
    return named_list(
        "codepoints",
        "Codepoints of a session's first packet.",
        "codepoint",
        name(),
        (
            container(kind, help[kind], Leaf("codepoint", "Which.", words, required=True))
            for kind, words in kinds.items()
        ),
        container(
            "custom",
            "Any other.",
            container(
                "codepoint",
                "Which.",
                Leaf(
                    "value",
                    "Its bits.",
                    matching("six bits such as 101110", "[01]{6}", 6),
                    required=True,
                ),
                kept_leaves("name"),
                required=True,
            ),
        ),
        choices=(Choice((*kinds, "custom"), required=True),),
    )


def _qos_rules() -> NamedList:
    return named_list(
        "rules",
        "QoS rules: the class of a session; class 4 where none matches.",
        "rule",
        name(63),
        _FROM,
        _to(TO_ZONE),
        _addresses(),
        _negations(),
        _criteria(source_user="Users.", category="URL categories.", application="Applications."),
        Leaf("service", "Services.", PLAIN_SERVICE, "any", many=True),
        container(
            "dscp-tos",
            "How the first packet of a session is marked.",
            container("any", "In any way."),
            _codepoints(),
            choices=(Choice(("any", "codepoints")),),
        ),
        container(
            "action",
            "What happens.",
            Leaf("class", "The class.", number(1, 8), required=True),
            required=True,
        ),
        Refused("schedule", "schedules are for security rules only; remove it"),
        _common(),
    )


def _dos_rules() -> NamedList:
    profile = Leaf("profile", "Its limits.", DOS_PROFILE, required=True)
    return named_list(
        "rules",
        "DoS protection rules; the first that matches a packet without a session decides, before "
        "addresses are translated.",
        "rule",
        name(63),
        _side("from", "Where packets come from.", ZONE),
        _side("to", "Where the route to their destination leads.", TO_ZONE),
        _addresses(),
        _negations(),
        _criteria(source_user="Users."),
        Leaf("service", "Services.", PLAIN_SERVICE, "any", many=True),
        container(
            "action",
            "What happens.",
            container("deny", "The packets are dropped."),
            container("allow", "No limit holds."),
            container("protect", "The limits of the profiles hold."),
            choices=(Choice(("deny", "allow", "protect"), required=True),),
            required=True,
        ),
        container(
            "protection",
            "The profiles of action protect.",
            container("aggregate", "All that the rule matches, together.", profile),
            container(
                "classified",
                "Each host by itself.",
                profile,
                container(
                    "classification-criteria",
                    "What is a host.",
                    Leaf(
                        "address",
                        "Its address.",
                        one_of("source-ip-only", "destination-ip-only", "src-dest-ip-both"),
                        "source-ip-only",
                    ),
                ),
            ),
        ),
        Leaf("schedule", "When the rule is in force; without it always.", SCHEDULE),
        _common(),
        kept_leaves("log-setting"),
    )


def rulebase() -> Container:
    return container(
        "rulebase",
        "Policies.",
        container("security", "Security policy.", _security_rules()),
        container(
            "default-security-rules",
            "What happens to sessions no security rule matches.",
            _default_rules(),
        ),
        container("nat", "Translation of addresses and ports.", _nat_rules()),
        container("pbf", "Policy-based forwarding.", _pbf_rules()),
        container("qos", "QoS policy.", _qos_rules()),
        container("dos", "DoS protection policy.", _dos_rules()),
        container("application-override", "Application override policy.", _override_rules()),
        kept("authentication", "captive-portal", "decryption"),
        kept("network-packet-broker", "sdwan", "tunnel-inspect"),
    )
