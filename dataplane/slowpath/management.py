"""Management: what may be asked of an address of the firewall, by the profile of its port."""

from dataplane.management_services import permits
from dataplane.slowpath.context import Context, Tables
from native import DropReason


def management(context: Context, tables: Tables) -> Context | DropReason:
    if not context.is_host:
        return context
    owner = context.egress
    assert owner is not None  # forwarding sets it or refuses
    profile = owner.management
    if not owner.zone or profile is None or not permits(profile, context.packet):
        return DropReason.flow_host_service_deny
    return context
