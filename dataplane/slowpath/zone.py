"""Zone: which zone the packet comes from. Zone protection will look at it here."""

from dataplane.slowpath.context import Context, Tables
from native import DropReason


def zone(context: Context, tables: Tables) -> Context | DropReason:
    port = tables.ports.get(context.packet.port)
    if port is None or not port.zone:  # a commit took the port away while the packet waited
        return DropReason.flow_no_interface
    context.ingress, context.from_zone = port, port.zone
    return context
