"""Writes docs/configuration.md from the schema: `python -m control.config.document > FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from control.config import paths, schema
from control.config.applications import PREDEFINED, Application
from control.config.elements import Container, Element, Kept, Leaf, NamedList, Refused, is_enforced

_INTRODUCTION = """\
# Configuration

<!-- Made by `python -m control.config.document`; edit the schema instead. -->

A configuration is a file of `set` commands with the vendor's element names. Lines that start with
`#` are comments. A value with blanks stands in double quotes, several members stand in brackets:

```
set zone trust network layer3 [ ethernet1/1 ethernet1/2 ]
set address web1 ip-netmask 10.0.0.10/32 description "intranet web server"
set rulebase security rules out from trust to untrust source any destination any action allow
```

Once an element has its value, other elements of the same entry may follow on the line. Setting a
value again replaces it; setting a list again adds members.

`sixtuple check FILE` names every mistake with its line, its path and what would be right. What has
no effect yet is kept, and listed as a warning; what would make the rest of the configuration mean
something else if it were ignored is an error. An element that is not on this page is an error.

There without being configured: the services {services},
and the two default rules `{intrazone}` (allow) and `{interzone}` (deny), which
decide where no security rule matches; and the [predefined applications](#predefined-applications).
"""

_APPLICATIONS = """
## Predefined applications

What rules may name without configuring it, with the timers of their own in seconds, the default
ones where there is none. `shared override application` changes the timers of an established
session. A discard timer is for sessions that are denied. The default ports and IP protocols are
what `service application-default` stands for; a rule with an application that has none matches
every port, which is a warning.

| application | timeout | TCP | UDP | discard | default ports |
| --- | --- | --- | --- | --- | --- |
"""


def document() -> str:
    """The page."""
    services = ", ".join(
        f"`{name}` (TCP {ports})" for name, ports in paths.PREDEFINED_SERVICES.items()
    )
    introduction = _INTRODUCTION.format(
        services=services,
        intrazone=paths.INTRAZONE_DEFAULT,
        interzone=paths.INTERZONE_DEFAULT,
    )
    return introduction + "".join(_lines(schema.ROOT)) + "".join(_applications())


def _lines(root: Container) -> Iterator[str]:
    for element in root.children.values():
        match element:
            case NamedList():
                yield from _list(element, element.name)
            case Container():
                yield from _section(element, element.name)
    yield "\n## Other subtrees\n"
    yield from _kept(
        [(name, child) for name, child in root.children.items() if not is_enforced(child)]
    )


def _list(element: NamedList, path: str) -> Iterator[str]:
    key = f"`<{element.noun}>` is {element.key.right}."
    yield from _section(element.entry, f"{path} <{element.noun}>", key)


def _section(container: Container, path: str, key: str = "") -> Iterator[str]:
    """A container with all that is below it, and a section for each list in it."""
    elements = list(_flat(container, ""))
    rows = [row for below, element in elements if (row := _row(below, element))]
    kept = list(_kept(elements))
    if rows or kept:
        yield f"\n## `{path}`\n\n{container.help} {key}".rstrip() + "\n"
    if rows:
        yield "\n| element | value | default | |\n| --- | --- | --- | --- |\n"
        yield from rows
        yield from _choices(container, "")
    yield from kept
    for below, element in elements:
        if isinstance(element, NamedList):
            yield from _list(element, f"{path} {below}")


def _flat(container: Container, prefix: str) -> Iterator[tuple[str, Element]]:
    """Elements with their paths, down to lists."""
    for name, element in container.children.items():
        yield prefix + name, element
        if isinstance(element, Container):
            yield from _flat(element, f"{prefix}{name} ")


def _row(path: str, element: Element) -> str:
    match element:
        case Leaf(enforced=True):
            right = element.type.right
            if element.many:
                right = f"any number of: {right}"
            default = f"`{element.default}`" if element.default else ""
            needed = ""
            if element.required:
                needed = " Required"
                needed += f" unless {' '.join(element.unless)}." if element.unless else "."
            return f"| `{path}` | {right} | {default} | {element.help}{needed} |\n"
        case Container(children=children) if not children:
            return f"| `{path}` | | | {element.help} |\n"
        case Refused():
            return f"| `{path}` | refused | | {element.why} |\n"
    return ""


def _choices(container: Container, prefix: str) -> Iterator[str]:
    for choice in container.choices:
        names = [
            f"`{prefix}{name}`"
            for name in choice.names
            if not isinstance(container.children[name], Refused)
        ]
        if len(names) > 1:
            yield f"\n{'Exactly' if choice.required else 'At most'} one of {', '.join(names)}.\n"
    for name, child in container.children.items():
        if isinstance(child, Container):
            yield from _choices(child, f"{prefix}{name} ")


def _applications() -> Iterator[str]:
    yield _APPLICATIONS
    for name, application in sorted(PREDEFINED.items()):
        timers = (application.timeout, application.tcp_timeout, application.udp_timeout)
        where = [*application.ports, *(f"protocol/{number}" for number in application.protocols)]
        cells = [*map(_seconds, timers), _discard_timers(application), " ".join(where)]
        yield f"| `{name}` | {' | '.join(cells)} |\n"


def _seconds(timer: int | None) -> str:
    return "" if timer is None else str(timer)


def _discard_timers(application: Application) -> str:
    timers = {
        "": application.discard_timeout,
        "TCP ": application.tcp_discard_timeout,
        "UDP ": application.udp_discard_timeout,
    }
    return ", ".join(f"{kind}{timer}" for kind, timer in timers.items() if timer is not None)


def _kept(elements: Iterable[tuple[str, Element]]) -> Iterator[str]:
    names = [
        f"`{path}`"
        for path, element in elements
        if isinstance(element, Kept) or (isinstance(element, Leaf) and not element.enforced)
    ]
    if names:
        yield f"\nKept without effect: {', '.join(names)}.\n"


if __name__ == "__main__":
    sys.stdout.write(document())
