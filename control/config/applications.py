"""Applications: the predefined ones (applications.toml), and the timers a tree gives them.

The timer of the session's protocol goes before `timeout`; a timer of 0 means the global one, so
`tcp-timeout 0` takes TCP away from `timeout`. A timer nobody has set is None.
"""

from __future__ import annotations

from importlib.resources import files

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from control.config.tree import Tree
from dataplane.snapshot import ApplicationTimeouts, Timeouts

APPLICATIONS = ("application",)
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
