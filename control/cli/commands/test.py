"""What can be asked of rules and routes."""

from __future__ import annotations

from control.cli.arguments import HOST, INTERFACE, YES_NO, ZONE
from control.cli.commands.parts import PACKET_PAIRS, ROUTER_PAIR
from control.cli.tokens import Token, pair, word

_FROM_INTERFACE = pair("from-interface", "from_interface", INTERFACE, "Ingress interface")
_TO_INTERFACE = pair("to-interface", "to_interface", INTERFACE, "Egress interface")
_SHOW_ALL = pair("show-all", "every", YES_NO, "All the rules that match, not the first alone")


def _match(rulebase: str, help: str, *more: Token) -> Token:
    return word(
        f"{rulebase}-policy-match",
        help,
        pairs=(*PACKET_PAIRS, *more),
        needs=("source", "destination", "protocol"),
    )


def _to(help: str) -> Token:
    return pair("to", "to_zone", ZONE, help)


_TRANSLATED_TO = _to("Destination zone, after translation")

TEST = word(
    "test",
    "Ask what would happen",
    _match(
        "dos",
        "DoS protection rule for a first packet",
        _FROM_INTERFACE,
        _to("Zone its destination routes to"),
        _TO_INTERFACE,
    ),
    _match(
        "nat",
        "NAT rule for a first packet; zones are those of its original route",
        _to("Destination zone, before translation"),
        _TO_INTERFACE,
    ),
    _match("pbf", "Policy-based forwarding rule for a first packet", _FROM_INTERFACE),
    _match("qos", "QoS rule for a first packet", _TRANSLATED_TO),
    word(
        "routing",
        "Routing",
        word(
            "fib-lookup",
            "Route to an address, with every next hop of equal cost",
            pairs=(pair("ip", "ip", HOST, "Destination address"), ROUTER_PAIR),
            needs=("virtual-router", "ip"),
        ),
    ),
    _match("security", "Security rule for a first packet", _SHOW_ALL, _TRANSLATED_TO),
)
