"""What the stages pass on: the packet, what is known of it so far, and the tables to look in."""

from dataclasses import dataclass
from typing import NamedTuple

from dataplane.dos import DosPolicy
from dataplane.names import Names
from dataplane.nat import Destination, Nat, NatPolicy, Source
from dataplane.pbf import PbfPolicy
from dataplane.policy import Policy
from dataplane.qos import QosPolicy
from dataplane.routing import Routing
from dataplane.schedules import InForce
from dataplane.snapshot import (
    ApplicationOverride,
    ApplicationTimeouts,
    PbfRule,
    Port,
    QosRule,
    Route,
    SecurityRule,
)
from native import SessionSpec, Undecided


class Tables(NamedTuple):
    """One version of everything; a packet sees the same one from start to end.

    The policies of rulebases without a rule are None.
    """

    ports: dict[int, Port]  # by number
    port_numbers: dict[str, int]
    ports_by_name: dict[str, Port]
    zones: Names
    rules: Names
    nat_rules: Names
    pbf_rules: Names
    qos_rules: Names
    dos_rules: Names
    applications: Names
    routing: Routing
    multicast: Port  # stands for every port multicast is routed to
    pbf: PbfPolicy | None
    nat: NatPolicy | None
    policy: Policy[SecurityRule, SecurityRule]
    in_force: InForce | None  # of the security rules; None: always all of them
    timed_rules: frozenset[str]  # rules with a service that has timers of its own
    qos: QosPolicy | None
    dos: DosPolicy | None  # for who asks; the engine has its own
    application_overrides: Policy[ApplicationOverride, None] | None
    application_timeouts: dict[str, ApplicationTimeouts]
    discard_denied: bool
    wall_offset_ns: int  # from the packets' clock to the time of day


@dataclass(slots=True)
class Context:
    """Each stage sets its own fields and returns it, or refuses the packet."""

    packet: Undecided
    ingress: Port | None = None  # zone
    from_zone: str = ""
    pbf: PbfRule | None = None  # policy-based forwarding
    route: Route | None = None  # forwarding; None: by a wire, a bridge or a rule
    egress: Port | None = None
    to_zone: str = ""
    is_host: bool = False  # for the firewall itself
    path: int = 0  # of c2s packets
    return_path: int = 0  # of s2c packets
    fixed_c2s: bool = False  # they keep egress and path whatever the routes say
    fixed_s2c: bool = False
    nat: Nat | None = None  # destination translation
    destination: Destination | None = None  # None: the original one
    translated_route: Route | None = None  # to it
    rule: SecurityRule | None = None  # security policy
    source: Source | None = None  # source translation; None: the original one
    qos: QosRule | None = None  # QoS
    override: ApplicationOverride | None = None  # application override
    application: str = ""
    spec: SessionSpec | None = None  # allocation
