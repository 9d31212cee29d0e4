"""What a value of the configuration may name: zones, interfaces, objects, profiles."""

from __future__ import annotations

import re

from control.config import applications, paths
from control.config.value_types import Reference, literal_addresses, reference

# Interfaces of kinds that are kept without effect may be listed where that takes nothing away.
_OTHER_INTERFACES = re.compile(
    r"ae[1-9][0-9]?(?:\.[1-9][0-9]{0,3})?|vlan(?:\.[1-9][0-9]{0,3})?|tunnel|loopback"
)
_ROUTED = (paths.INTERFACES, paths.LAYER3_UNITS, paths.LOOPBACKS, paths.TUNNELS)
_EVERY = (*_ROUTED, paths.LAYER2_UNITS)
LISTED_INTERFACE = reference(
    "a configured interface", Reference("interface", _EVERY, not_enforced=_OTHER_INTERFACES)
)
INTERFACE = reference("a configured interface", Reference("interface", _EVERY))
TUNNEL_INTERFACE = reference(
    "a configured tunnel interface", Reference("tunnel interface", (paths.TUNNELS,))
)
ANY_INTERFACE = reference("a configured interface or any", Reference("interface", _EVERY), "any")
PORT = reference("a configured port", Reference("interface", (paths.INTERFACES,)))
VIRTUAL_ROUTER = reference(
    "a configured virtual router", Reference("virtual router", (paths.VIRTUAL_ROUTERS,))
)
MANAGEMENT_PROFILE = reference(
    "an interface management profile",
    Reference("interface management profile", (paths.MANAGEMENT_PROFILES,)),
)
MONITOR_PROFILE = reference(
    "a monitor profile or default",
    Reference("monitor profile", (paths.MONITOR_PROFILES,), predefined=("default",)),
)
ZONE_PROTECTION_PROFILE = reference(
    "a zone protection profile",
    Reference("zone protection profile", (paths.ZONE_PROTECTION_PROFILES,)),
)
DOS_PROFILE = reference(
    "a DoS protection profile", Reference("DoS protection profile", (paths.DOS_PROFILES,))
)
QOS_PROFILE = reference("a QoS profile", Reference("QoS profile", (paths.QOS_PROFILES,)))

ZONE = reference("a zone or any", Reference("zone", (("zone",),)), "any")
TO_ZONE = reference(
    "a zone, multicast, or any", Reference("zone", (("zone",),), predefined=("multicast",)), "any"
)
ONE_ZONE = reference("a zone", Reference("zone", (("zone",),)))

_ADDRESS_LISTS = (("address",), ("address-group",))
_ADDRESSES = Reference("address or address group", _ADDRESS_LISTS, literal=literal_addresses)
ADDRESS = reference(
    "an address object, an address group, an address, a prefix, a range, or any", _ADDRESSES, "any"
)
TRANSLATED_ADDRESS = reference(
    "an address object, an address group, an address, a prefix or a range", _ADDRESSES
)
ADDRESS_MEMBER = reference(
    "an address object or an address group", Reference("address or address group", _ADDRESS_LISTS)
)
_SERVICES = Reference(
    "service or service group",
    (("service",), ("service-group",)),
    predefined=tuple(paths.PREDEFINED_SERVICES),
)
SERVICE = reference(
    "a service, a service group, any, or application-default",
    _SERVICES,
    "any",
    "application-default",
)
PLAIN_SERVICE = reference("a service, a service group, or any", _SERVICES, "any")
SERVICE_MEMBER = reference("a service or a service group", _SERVICES)
SCHEDULE = reference("a schedule", Reference("schedule", (("schedule",),)))

_PREDEFINED = tuple(applications.PREDEFINED)
APPLICATION = reference(
    "a predefined application such as ssl, or one that application configures",
    Reference("application", (applications.APPLICATIONS,), predefined=_PREDEFINED),
)
_APPLICATIONS = Reference(
    "application or application group",
    (applications.APPLICATIONS, applications.GROUPS),
    predefined=_PREDEFINED,
)
APPLICATIONS = reference(
    "predefined applications such as ssl, those that application configures, their groups, or any",
    _APPLICATIONS,
    "any",
)
APPLICATION_MEMBER = reference("an application or an application group", _APPLICATIONS)
