"""What can be shown."""

from __future__ import annotations

from control.cli.arguments import (
    ALL_OR_INTERFACE,
    ASPECT,
    CATEGORY,
    COUNTER,
    COUNTER_VALUE,
    DIRECTION,
    DOS_RULE,
    INTERFACE,
    LOG_COUNT,
    NAT_RULE,
    PBF_RULE,
    QOS_RULE,
    SEVERITY,
    YES_NO,
    ZONE,
)
from control.cli.commands.parts import (
    ROUTER_PAIR,
    SESSION,
    SESSION_PAIRS,
    additional_threat_log,
    blocked_of_zone,
    rule_hit_count,
)
from control.cli.logs import DEFAULT_ENTRIES
from control.cli.tokens import Token, equal, option, pair, word

_SHOWN_PAIRS = (
    *SESSION_PAIRS,
    pair("count", "count", YES_NO, "Print only the number of matching sessions"),
    pair("egress-interface", "egress", INTERFACE, "Interface the first packet went out by"),
    pair("ingress-interface", "ingress", INTERFACE, "Interface the first packet came in by"),
    pair("pbf-rule", "pbf_rule", PBF_RULE, "Policy-based forwarding rule name"),
    pair("qos-rule", "qos_rule", QOS_RULE, "QoS rule name"),
)

_COUNTER_PAIRS = (
    pair("aspect", "aspect", ASPECT, "Counters of this aspect"),
    pair("category", "category", CATEGORY, "Counters of this category"),
    pair("delta", "delta", YES_NO, "The change since the previous delta output"),
    pair("severity", "severity", SEVERITY, "Counters of this severity"),
    pair("value", "value", COUNTER_VALUE, "Which values to print"),
)

_LOG_PAIRS = (
    equal("count", LOG_COUNT, "How many of the newest entries to print"),
    equal("direction", DIRECTION, "Order of the entries"),
)
_BLOCKED = word("blocked", "What is blocked", word("source", "Blocked sources of the zone"))


def _log(name: str, title: str) -> Token:
    help = f"{title} log, the newest {DEFAULT_ENTRIES} entries unless told otherwise"
    return word(name, help, pairs=_LOG_PAIRS, may_end=True)


SHOW = word(
    "show",
    "Show runtime state",
    word("arp", "ARP table", word("all", "ARP entries of every interface")),
    word("clock", "Date and time of the firewall"),
    word(
        "config",
        "Configuration",
        word("candidate", "The candidate configuration, as set commands"),
        word("diff", "The lines in which the candidate differs from the running one"),
        word("running", "The configuration in force, as set commands"),
    ),
    word(
        "counter",
        "Counters",
        word(
            "global",
            "Global counters of the dataplane",
            option("filter", "Choose counters", pairs=_COUNTER_PAIRS),
            pair("name", "name", COUNTER, "One counter"),
            may_end=True,
        ),
    ),
    word(
        "dos-block-table",
        "Block table",
        word("all", "Every source that is blocked, why and for how long"),
    ),
    word(
        "dos-protection",
        "DoS protection",
        word(
            "rule",
            "DoS protection rule",
            Token(
                "rule",
                "DoS protection rule name",
                DOS_RULE,
                (
                    word("settings", "Limits of a DoS protection rule"),
                    word("statistics", "What a DoS protection rule has done"),
                ),
            ),
        ),
        blocked_of_zone(_BLOCKED),
    ),
    word(
        "interface",
        "Hardware and logical interfaces, or everything about one",
        Token("interface", "Interface name", ALL_OR_INTERFACE),
    ),
    word(
        "log",
        "Logs",
        _log("threat", "Threat"),
        _log("traffic", "Traffic"),
    ),
    word(
        "neighbor",
        "IPv6 neighbours",
        word("interface", "By interface", word("all", "Neighbours of every interface")),
    ),
    word(
        "pbf",
        "Policy-based forwarding",
        word("rule", "Rules", word("all", "Rules and what became of their next hops")),
    ),
    word(
        "qos",
        "QoS",
        word(
            "interface",
            "Classes of an interface and what they have sent",
            Token("interface", "Interface name", INTERFACE),
        ),
    ),
    word(
        "routing",
        "Routing",
        word(
            "fib",
            "Forwarding table of each virtual router",
            pairs=(ROUTER_PAIR,),
            may_end=True,
        ),
        word(
            "route",
            "Routing table of each virtual router",
            pairs=(ROUTER_PAIR,),
            may_end=True,
        ),
    ),
    rule_hit_count("Show"),
    word(
        "running",
        "What the dataplane runs on",
        word("application-override-policy", "Application override rules in force"),
        word("dos-policy", "DoS protection rules in force"),
        word("ippool", "Address pools of the NAT rules, and how far they are used"),
        word("nat-policy", "NAT rules in force"),
        word(
            "nat-rule-ippool",
            "Address pools of one NAT rule",
            word(
                "rule",
                "Address pools of one NAT rule",
                Token("rule", "NAT rule name", NAT_RULE),
            ),
        ),
        word("pbf-policy", "Policy-based forwarding rules in force"),
        word("qos-policy", "QoS rules in force"),
        word("security-policy", "Security rules in force, the default rules last"),
    ),
    word(
        "session",
        "Sessions",
        word(
            "all",
            "The session table, or the sessions a filter selects",
            option("filter", "Choose sessions", pairs=_SHOWN_PAIRS),
            may_end=True,
        ),
        word("id", "Everything about one session", SESSION),
        word("info", "Session counts, rates, timeouts and settings"),
        word("meter", "Sessions of each virtual system, and its maximum"),
        word(
            "packet-buffer-protection",
            "What one source may fill of the packets that wait",
        ),
    ),
    word(
        "system",
        "System",
        word("info", "Name, version and uptime"),
        additional_threat_log(),
    ),
    word("virtual-wire", "Virtual wires", word("all", "Virtual wires and their ends")),
    word("vlan", "VLANs", word("all", "VLANs and their interfaces")),
    word(
        "zone-protection",
        "Zone protection profiles in force, and what they have done",
        pairs=(pair("zone", "zone", ZONE, "Of one zone"),),
        may_end=True,
    ),
)
