"""Applications: the predefined ones (applications.toml), the timers a tree gives them, and where
they are found by default.

The timer of the session's protocol goes before `timeout`; a timer of 0 means the global one, so
`tcp-timeout 0` takes TCP away from `timeout`. A timer nobody has set is None.
"""

from __future__ import annotations

from importlib.resources import files

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from control.config.tree import Tree
from control.config.value_types import ports
from dataplane.snapshot import ApplicationTimeouts, ServiceMatch, Timeouts

APPLICATIONS = ("application",)
GROUPS = ("application-group",)
OVERRIDES = ("shared", "override", "application")

# what an administrator may set: element, lowest and highest number of seconds
TIMERS = {
    "timeout": (0, 604_800),
    "tcp-timeout": (0, 604_800),
    "udp-timeout": (0, 604_800),
    "tcp-half-closed-timeout": (1, 604_800),
    "tcp-time-wait-timeout": (1, 600),
}


class Application(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    timeout: int | None = None
    tcp_timeout: int | None = None
    udp_timeout: int | None = None
    tcp_half_closed_timeout: int | None = None
    tcp_time_wait_timeout: int | None = None
    discard_timeout: int | None = None
    tcp_discard_timeout: int | None = None
    udp_discard_timeout: int | None = None
    ports: tuple[str, ...] = ()
    protocols: tuple[int, ...] = ()  # IP protocols that are the application, whatever the ports


PREDEFINED = msgspec.toml.decode(
    files(__package__).joinpath("applications.toml").read_bytes(), type=dict[str, Application]
)


def application_timeouts(tree: Tree) -> dict[str, ApplicationTimeouts]:
    """Applications that have timers of their own.

    => the tree has no errors
    """
    applications = PREDEFINED | {
        name: _changed(PREDEFINED[name], node)
        for name, node in tree.entries(*OVERRIDES).items()
        if name in PREDEFINED
    }
    for name, node in tree.entries(*APPLICATIONS).items():
        applications[name] = _changed(Application(), node)
    resolved = {name: _resolved(application) for name, application in applications.items()}
    return {name: own for name, own in resolved.items() if own != ApplicationTimeouts()}


_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58


def default_services(tree: Tree, name: str) -> tuple[ServiceMatch, ...]:
    """Where an application is found by default; none where that is not known.

    => there is such an application, and it has no errors
    """
    if name in PREDEFINED:
        texts, protocols = PREDEFINED[name].ports, PREDEFINED[name].protocols
    else:
        default = tree.get(*APPLICATIONS, name, "default") or Tree()
        texts = tuple(default.members("port"))
        protocols = (
            *map(int, default.members("ident-by-ip-protocol")),
            *((_ICMP,) if default.get("ident-by-icmp-type") else ()),
            *((_ICMPV6,) if default.get("ident-by-icmp6-type") else ()),
        )
    return (
        *(_service(text) for text in texts),
        *(ServiceMatch(protocol) for protocol in protocols),
    )


def _service(text: str) -> ServiceMatch:
    """Of "tcp/80,8080" or "udp/dynamic"."""
    protocol, _, numbers = text.partition("/")
    destination = () if numbers == "dynamic" else ports(numbers)
    return ServiceMatch(_TCP if protocol == "tcp" else _UDP, (), destination)


def _changed(application: Application, node: Tree) -> Application:
    values = {timer: node.value(timer) for timer in TIMERS}
    return replace(
        application,
        **{
            timer.replace("-", "_"): int(value)
            for timer, value in values.items()
            if value is not None
        },
    )


def _resolved(application: Application) -> ApplicationTimeouts:
    a = application
    return ApplicationTimeouts(
        tcp=Timeouts(
            established=_first(a.tcp_timeout, a.timeout),
            half_closed=_first(a.tcp_half_closed_timeout),
            time_wait=_first(a.tcp_time_wait_timeout),
            discard=_first(a.tcp_discard_timeout, a.discard_timeout),
        ),
        udp=Timeouts(
            established=_first(a.udp_timeout, a.timeout),
            discard=_first(a.udp_discard_timeout, a.discard_timeout),
        ),
        other=Timeouts(established=_first(a.timeout), discard=_first(a.discard_timeout)),
    )


def _first(*timers_s: int | None) -> int:
    """The first that is set; 0 where none is."""
    return next((timer for timer in timers_s if timer is not None), 0)
