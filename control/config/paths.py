"""Where things are in the configuration: paths of elements that more than one file speaks of.

A "*" stands for the name of any entry.
"""

from __future__ import annotations

INTERFACES = ("network", "interface", "ethernet")
LAYER3_UNITS = (*INTERFACES, "*", "layer3", "units")
LAYER2_UNITS = (*INTERFACES, "*", "layer2", "units")
LOOPBACKS = ("network", "interface", "loopback", "units")
TUNNELS = ("network", "interface", "tunnel", "units")
GRE_TUNNELS = ("network", "tunnel", "gre")
IPIP_TUNNELS = ("network", "tunnel", "ipip")
VXLAN_TUNNELS = ("network", "tunnel", "vxlan")
VIRTUAL_WIRES = ("network", "virtual-wire")
VLANS = ("network", "vlan")
VIRTUAL_ROUTERS = ("network", "virtual-router")
MANAGEMENT_PROFILES = ("network", "profiles", "interface-management-profile")
ZONE_PROTECTION_PROFILES = ("network", "profiles", "zone-protection-profile")
DOS_PROFILES = ("profiles", "dos-protection")
MONITOR_PROFILES = ("network", "profiles", "monitor-profile")
QOS_PROFILES = ("network", "qos", "profile")
QOS_INTERFACES = ("network", "qos", "interface")

SECURITY_RULES = ("rulebase", "security", "rules")
DEFAULT_RULES = ("rulebase", "default-security-rules", "rules")
NAT_RULES = ("rulebase", "nat", "rules")
PBF_RULES = ("rulebase", "pbf", "rules")
QOS_RULES = ("rulebase", "qos", "rules")
DOS_RULES = ("rulebase", "dos", "rules")
OVERRIDE_RULES = ("rulebase", "application-override", "rules")
INTRAZONE_DEFAULT, INTERZONE_DEFAULT = "intrazone-default", "interzone-default"

SESSION_SETTINGS = ("deviceconfig", "setting", "session")
TCP_SETTINGS = ("deviceconfig", "setting", "tcp")
NAT_SETTINGS = ("deviceconfig", "setting", "nat")
REMATCH = ("deviceconfig", "setting", "config", "rematch")
HOSTNAME = ("deviceconfig", "system", "hostname")
MAX_SESSIONS = ("import", "resource", "max-sessions")

UDP_SERVICE_TIMEOUT = ("service", "", "protocol", "udp", "override", "yes", "timeout")

# Destination ports of the services that are there without being configured; both are TCP.
PREDEFINED_SERVICES = {"service-http": "80,8080", "service-https": "443"}
