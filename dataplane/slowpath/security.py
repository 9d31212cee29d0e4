"""Security policy: the first rule that matches the original packet (packet flow sequence 3.8)."""

from dataplane.slowpath.context import Context, Tables


def security(context: Context, tables: Tables) -> Context:
    key = context.packet.key
    context.rule = tables.policy.match(
        context.from_zone, context.to_zone, key.src, key.dst, key.proto, key.sport, key.dport
    )
    return context
