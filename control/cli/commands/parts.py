"""What several commands have in common."""

from __future__ import annotations

from control.cli.arguments import (
    APPLICATION,
    HOST,
    NAT,
    NAT_RULE,
    PORT,
    PROTOCOL,
    ROUTER,
    RULE,
    RULE_OF_RULEBASE,
    RULEBASE,
    SESSION_ID,
    SESSION_TYPE,
    STATE,
    VSYS,
    ZONE,
)
from control.cli.tokens import Token, pair, word

# Arguments are named as the fields of Match and SessionFilter in dataplane.messages.
PACKET_PAIRS = (
    pair("destination", "destination", HOST, "Destination address, before translation"),
    pair("destination-port", "destination_port", PORT, "Destination port"),
    pair("from", "from_zone", ZONE, "Source zone"),
    pair("protocol", "protocol", PROTOCOL, "IP protocol, by name or number"),
    pair("source", "source", HOST, "Source address, before translation"),
    pair("source-port", "source_port", PORT, "Source port"),
)
SESSION_PAIRS = tuple(
    sorted(
        (
            *PACKET_PAIRS,
            pair("application", "application", APPLICATION, "Application name"),
            pair("nat", "nat", NAT, "What is translated"),
            pair("nat-rule", "nat_rule", NAT_RULE, "NAT rule name"),
            pair("rule", "rule", RULE, "Security rule name"),
            pair("state", "state", STATE, "Session state"),
            pair("to", "to_zone", ZONE, "Destination zone"),
            pair("type", "type", SESSION_TYPE, "Session type"),
        ),
        key=lambda token: token.text,
    )
)
SESSION = Token("id", "Session number", SESSION_ID)
ROUTER_PAIR = pair("virtual-router", "virtual_router", ROUTER, "Virtual router name")


def blocked_of_zone(blocked: Token) -> Token:
    zone = Token("zone", "Zone name", ZONE, (blocked,))
    return word("zone", "Blocked sources of a zone", zone)


def additional_threat_log(*then: Token) -> Token:
    help = "Whether packets that packet-based protection drops are logged as threats"
    setting = word("additional-threat-log", help, *then)
    return word("setting", "System settings", setting)


def rule_hit_count(verb: str) -> Token:
    """`rule-hit-count`, which names the rules in the same way for every verb."""
    rules = word(
        "rules",
        "Which rules",
        word("all", f"{verb} the hit counts of every rule"),
        word(
            "list",
            f"{verb} the hit counts of these rules",
            Token("rules", "Rule name, or [ names ]", RULE_OF_RULEBASE, is_list=True),
        ),
    )
    rulebase = Token("rulebase", "Rulebase", RULEBASE, (rules,))
    vsys = Token("vsys", "Virtual system", VSYS, (word("rule-base", "Which rules", rulebase),))
    by_name = word("vsys-name", "By its name", vsys)
    return word("rule-hit-count", "How often rules matched", word("vsys", "Where", by_name))
