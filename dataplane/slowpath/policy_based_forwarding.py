"""Policy-based forwarding: a rule that goes before the routes (packet flow sequence 3.4).

What is for the firewall itself is not forwarded, so no rule is asked.
"""

from dataplane.slowpath.context import Context, Tables
from native import DropReason

_ROUTED = ("layer3", "tunnel")


def policy_based_forwarding(context: Context, tables: Tables) -> Context | DropReason:
    key, ingress = context.packet.key, context.ingress
    assert ingress is not None  # zone sets it or refuses
    if tables.pbf is None or ingress.mode not in _ROUTED or key.dst in tables.routing.local:
        return context
    rule = tables.pbf.match(ingress.name, context.from_zone, key)
    if rule is None:
        return context
    context.pbf = rule
    if rule.action == "discard":
        return DropReason.flow_policy_nofwd
    if rule.symmetric_return and rule.action == "forward":
        context.fixed_s2c = True
        context.return_path = tables.routing.paths.back(
            ingress.name, context.packet.mac, rule.return_nexthops
        )
    return context
