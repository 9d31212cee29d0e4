"""What the stages pass on: the packet, what is known of it so far, and the tables to look in."""

from dataclasses import dataclass
from typing import NamedTuple

from dataplane.fib import Fib
from dataplane.names import Names
from dataplane.policy import Policy
from dataplane.snapshot import (
    ApplicationOverride,
    ApplicationTimeouts,
    Port,
    Route,
    SecurityRule,
)
from native import SessionSpec, Undecided


class Tables(NamedTuple):
    """One version of everything; a packet sees the same one from start to end."""

    ports: dict[int, Port]  # by number
    port_numbers: dict[str, int]
    zones: Names
    rules: Names
    applications: Names
    fib: Fib
    policy: Policy[SecurityRule, SecurityRule]
    timed_rules: frozenset[str]  # rules with a service that has timers of its own
    application_overrides: Policy[ApplicationOverride, None] | None  # None where there is no rule
    application_timeouts: dict[str, ApplicationTimeouts]
    discard_denied: bool


@dataclass(slots=True)
class Context:
    """Each stage sets its own fields and returns it, or refuses the packet."""

    packet: Undecided
    from_zone: str = ""  # zone
    route: Route | None = None  # forwarding
    egress: Port | None = None
    to_zone: str = ""
    rule: SecurityRule | None = None  # security policy
    override: ApplicationOverride | None = None  # application override
    application: str = ""
    spec: SessionSpec | None = None  # allocation
