"""NAT: the source of an allowed session translated (packet flow sequence 3.5, 3.9).

After the security policy: who is denied takes no address and no port of a pool.
"""

from dataplane.slowpath.context import Context, Tables
from native import DropReason


def source_translation(context: Context, tables: Tables) -> Context | DropReason:
    nat, rule, key = context.nat, context.rule, context.packet.key
    assert rule is not None  # the security policy sets it
    if nat is None or rule.action != "allow":
        return context
    if nat.source is not None:
        context.source = nat.source.translate(key)
        if context.source is None:
            return DropReason.nat_port_alloc_fail
    source = key.src if context.source is None else context.source.address
    destination = key.dst if context.destination is None else context.destination.address
    if source == destination:
        return DropReason.flow_policy_nat_land
    return context
