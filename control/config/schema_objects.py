"""Elements that rules name: addresses, services, applications, their groups, schedules."""

from __future__ import annotations

from control.config import applications
from control.config.elements import (
    Choice,
    Element,
    Leaf,
    NamedList,
    Refused,
    container,
    kept,
    kept_leaves,
    named_list,
)
from control.config.references import ADDRESS_MEMBER, APPLICATION_MEMBER, SERVICE_MEMBER
from control.config.value_types import (
    APPLICATION_PORT,
    DATE_RANGE,
    PORTS,
    PREFIX,
    RANGE,
    TIME_RANGE,
    WILDCARD,
    name,
    number,
    text,
)

TAGS = Leaf("tag", "Labels; they have no effect on traffic.", text(127), many=True)
DESCRIPTION = Leaf("description", "Anything worth knowing about it.", text(1023))


def objects() -> tuple[Element, ...]:
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
            Leaf(
                "ip-wildcard",
                "Addresses that are like this one where the mask's bits are 0; for security rules "
                "only.",
                WILDCARD,
            ),
            Refused("fqdn", "host names are not supported; use ip-netmask or ip-range"),
            DESCRIPTION,
            TAGS,
            choices=(Choice(("ip-netmask", "ip-range", "fqdn", "ip-wildcard"), required=True),),
        ),
        named_list(
            "address-group",
            "Groups of address objects and of other groups.",
            "address group",
            name(reserved=("any",)),
            Leaf("static", "Members of the group.", ADDRESS_MEMBER, many=True, required=True),
            Refused("dynamic", "groups by tag are not supported; use static"),
            DESCRIPTION,
            TAGS,
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
            DESCRIPTION,
            TAGS,
        ),
        named_list(
            "service-group",
            "Groups of services and of other groups.",
            "service group",
            name(reserved=("any", "application-default")),
            Leaf("members", "Members of the group.", SERVICE_MEMBER, many=True, required=True),
            TAGS,
        ),
        _applications(),
        named_list(
            "application-group",
            "Groups of applications and of other groups.",
            "application group",
            name(reserved=("any",)),
            Leaf("members", "Members of the group.", APPLICATION_MEMBER, many=True, required=True),
        ),
        _schedules(),
    )


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _schedules() -> NamedList:
    return named_list(
        "schedule",
        "Schedules: when rules are in force, in UTC. A range of times to 23:59 goes to midnight.",
        "schedule",
        name(),
        container(
            "schedule-type",
            "When.",
            container(
                "recurring",
                "Again and again.",
                Leaf("daily", "Times of every day.", TIME_RANGE, many=True),
                container(
                    "weekly",
                    "Times by the day of the week.",
                    (
                        Leaf(day, f"Times of {day.capitalize()}.", TIME_RANGE, many=True)
                        for day in _DAYS
                    ),
                ),
                choices=(Choice(("daily", "weekly"), required=True),),
            ),
            Leaf("non-recurring", "Once.", DATE_RANGE, many=True),
            choices=(Choice(("recurring", "non-recurring"), required=True),),
            required=True,
        ),
    )


APPLICATION_TIMERS = [
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
    icmp_type = (
        Leaf(
            "type",
            "Type of its messages; application-default takes every type.",
            number(0, 255),
            required=True,
        ),
        Leaf("code", "Code of its messages; application-default takes every code.", number(0, 255)),
    )
    ways = ("port", "ident-by-ip-protocol", "ident-by-icmp-type", "ident-by-icmp6-type")
    return named_list(
        "application",
        "Applications beside the predefined ones, for rules to name.",
        "application",
        name(reserved=("any", *_PSEUDO_APPLICATIONS)),
        APPLICATION_TIMERS,
        container(
            "default",
            "Where it is found by default: what service application-default stands for.",
            Leaf("port", "Its ports.", APPLICATION_PORT, many=True),
            Leaf("ident-by-ip-protocol", "Its IP protocol.", number(0, 255)),
            container("ident-by-icmp-type", "ICMP message.", icmp_type),
            container("ident-by-icmp6-type", "ICMPv6 message.", icmp_type),
            choices=(Choice(ways),),
        ),
        DESCRIPTION,
        TAGS,
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
