"""What only the whole tree shows of protection against attacks."""

from __future__ import annotations

from collections.abc import Iterator

from control.config import paths
from control.config.errors import Problem, shown
from control.config.protection import FloodRates, rejects_non_syn
from control.config.schema_network import ZONE_MODES
from control.config.schema_protection import MAX_WHITE_LIST
from control.config.set_syntax import path_text
from control.config.tree import Tree
from native import FLOODS, MAX_DOS_RULES, MAX_PROTECTIONS, PROTECTIONS, SCANS

_BRIDGED = ("layer2", "virtual-wire")
_SUPPRESSED = [p.element for p in PROTECTIONS if p.element.startswith("suppress-")]
_STRIP_FAST_OPEN = "strip-tcp-fast-open-and-data"
_SYN_DATA = "discard-tcp-syn-with-data"
_BUFFER = "packet-buffer-protection"


def protection_problems(tree: Tree) -> Iterator[Problem]:
    for name, profile in tree.entries(*paths.ZONE_PROTECTION_PROFILES).items():
        path = (*paths.ZONE_PROTECTION_PROFILES, name)
        yield from _floods(path, profile)
        yield from _scans(path, profile)
        yield from _cookies_without_handshakes(tree, path, profile)
        yield from _data_in_syns(path, profile)
        yield from _non_ip(path, profile)
    for name, profile in tree.entries(*paths.DOS_PROFILES).items():
        yield from _floods((*paths.DOS_PROFILES, name), profile)
    yield from _zones(tree)
    yield from _buffer(tree)
    yield from _rules(tree)


def _floods(path: tuple[str, ...], profile: Tree) -> Iterator[Problem]:
    for flood in FLOODS:
        node = profile.get("flood", flood.element)
        if node is None:
            continue
        if node.value("enable") is None:
            message = "is off: its rates have no effect; set enable yes"
            where = path_text((*path, "flood", flood.element))
            yield Problem(node.line, where, message, "warning")
        rates = FloodRates(profile, path, flood.element)
        try:
            alarm, activate, maximal = (
                rates.number(f"{name}-rate") for name in ("alarm", "activate", "maximal")
            )
        except ValueError:  # said where it stands
            continue
        limits = node.get(rates.way) or node
        if activate > maximal:
            message = (
                f"activate-rate {activate} is above maximal-rate {maximal}, from which on "
                "everything is dropped; set a lower one, or a higher maximal-rate"
            )
            yield Problem(limits.line, path_text(rates.path), message)
        if not alarm:
            message = (
                "with alarm-rate 0 every packet is a flood to be told of; set the rate that would "
                "be unusual"
            )
            yield Problem(limits.line, path_text(rates.path), message, "warning")


def _scans(path: tuple[str, ...], profile: Tree) -> Iterator[Problem]:
    known = {str(scan.id): scan for scan in SCANS}
    for name, node in profile.entries("scan").items():
        if name not in known:
            message = f"not enforced: the scans there are are {', '.join(known)}"
            yield Problem(node.line, path_text((*path, "scan", name)), message, "warning")
    white_list = list(profile.entries("scan-white-list").values())
    if len(white_list) > MAX_WHITE_LIST:
        message = f"{len(white_list)} entries; at most {MAX_WHITE_LIST} are possible"
        line = white_list[MAX_WHITE_LIST].line
        yield Problem(line, path_text((*path, "scan-white-list")), message)


def _has_cookies(profile: Tree) -> bool:
    flood = profile.get("flood", "tcp-syn")
    return bool(flood and flood.value("enable") == "yes" and flood.get("syn-cookies"))


def _cookies_without_handshakes(
    tree: Tree, path: tuple[str, ...], profile: Tree
) -> Iterator[Problem]:
    """Fact sheet 4.4: "reject non-SYN" should be on with cookies."""
    if _has_cookies(profile) and not rejects_non_syn(tree, path[-1]):
        message = (
            "with tcp-reject-non-syn no an ACK without a valid cookie opens a session all the "
            "same; set tcp-reject-non-syn yes in this profile"
        )
        cookies = (*path, "flood", "tcp-syn", "syn-cookies")
        node = tree.get(*cookies)
        yield Problem(node.line if node else 0, path_text(cookies), message, "warning")


def _data_in_syns(path: tuple[str, ...], profile: Tree) -> Iterator[Problem]:
    """What the profile drops, by default, nothing can be taken out of."""
    strips = profile.get(_STRIP_FAST_OPEN)
    if strips and profile.value(_STRIP_FAST_OPEN) == "yes" and profile.value(_SYN_DATA) != "no":
        message = f"SYN segments with data are dropped before; set {_SYN_DATA} no"
        yield Problem(strips.line, path_text((*path, _STRIP_FAST_OPEN)), message, "warning")


def _non_ip(path: tuple[str, ...], profile: Tree) -> Iterator[Problem]:
    node = profile.get("non-ip-protocol")
    if node and not node.entries("protocol") and node.value("list-type") == "include":
        message = "lists no protocol: with include nothing but IP passes; list what may, or exclude"
        yield Problem(node.line, path_text((*path, "non-ip-protocol")), message, "warning")


def _zones(tree: Tree) -> Iterator[Problem]:
    protected = 0
    for name, zone in tree.entries("zone").items():
        network = zone.get("network") or Tree()
        bound = network.get("zone-protection-profile")
        if bound or network.value("enable-packet-buffer-protection") == "yes":
            protected += 1
            if protected == MAX_PROTECTIONS + 1:
                message = f"at most {MAX_PROTECTIONS} zones can be protected"
                yield Problem(zone.line, path_text(("zone", name)), message)
        if bound is None:
            continue
        profile = tree.get(*paths.ZONE_PROTECTION_PROFILES, next(iter(bound.values), ""))
        mode = next((mode for mode in ZONE_MODES if network.get(mode)), "")
        if profile is None or not mode:
            continue
        path = path_text(("zone", name, "network", "zone-protection-profile"))
        for message in _out_of_place(profile, mode):
            yield Problem(max(bound.values.values()), path, message, "warning")


def _out_of_place(profile: Tree, mode: str) -> Iterator[str]:
    """What a profile has no effect with in a zone of this mode."""
    if mode == "tap" and _has_cookies(profile):
        yield "its syn-cookies have no effect: a tap answers nobody; use red"
    if mode not in ("layer3", "tunnel"):
        for element in _SUPPRESSED:
            if profile.value(element) == "yes":
                yield f"its {element} has no effect: only layer3 zones send such messages"
    if mode not in _BRIDGED and profile.get("non-ip-protocol"):
        yield f"its non-ip-protocol has no effect: only {' and '.join(_BRIDGED)} zones carry others"


def _buffer(tree: Tree) -> Iterator[Problem]:
    settings = tree.get(*paths.SESSION_SETTINGS) or Tree()
    alert, activate = settings.get(f"{_BUFFER}-alert"), settings.get(f"{_BUFFER}-activate")
    percent = {}
    for name, node, usual in (("alert", alert, 50), ("activate", activate, 80)):
        text = next(iter(node.values), "") if node else str(usual)
        percent[name] = int(text) if text.isascii() and text.isdecimal() else usual
    if percent["alert"] > percent["activate"]:
        message = (
            f"alert {percent['alert']} is above activate {percent['activate']}: packets would be "
            "dropped before anybody is told; set a lower one"
        )
        found = alert or activate
        where = path_text((*paths.SESSION_SETTINGS, f"{_BUFFER}-alert"))
        yield Problem(found.line if found else 0, where, message, "warning")


def _rules(tree: Tree) -> Iterator[Problem]:
    rules = tree.entries(*paths.DOS_RULES)
    if len(rules) > MAX_DOS_RULES:
        message = f"{len(rules)} rules; at most {MAX_DOS_RULES} are possible"
        line = list(rules.values())[MAX_DOS_RULES].line
        yield Problem(line, path_text(paths.DOS_RULES), message)
    for name, rule in rules.items():
        path = (*paths.DOS_RULES, name)
        for side in ("from", "to"):
            for element in ("zone", "interface"):
                node = rule.get(side, element)
                if node and not node.values:
                    yield Problem(node.line, path_text((*path, side)), f"missing: {element}")
        yield from _uses(tree, path, rule)


def _uses(tree: Tree, path: tuple[str, ...], rule: Tree) -> Iterator[Problem]:
    """Profiles of a rule are of the type they are used as, and only action protect has any."""
    used = rule.entries("protection")
    protects = rule.get("action", "protect")
    if protects and not used:
        message = (
            "protects from nothing: no profile is named; set protection aggregate profile or "
            "protection classified profile"
        )
        yield Problem(protects.line, path_text((*path, "action")), message, "warning")
    action = next(iter(rule.entries("action")), "")
    if used and action in ("deny", "allow"):
        message = f"has no effect with action {action}; set action protect"
        line = next(iter(used.values())).line
        yield Problem(line, path_text((*path, "protection")), message, "warning")
    for use, node in used.items():
        for name, line in node.members("profile").items():
            profile = tree.get(*paths.DOS_PROFILES, name)
            type_ = (profile.value("type") if profile else use) or "aggregate"
            if type_ != use:
                message = (
                    f"{shown(name)} is of type {type_}; name one of type {use}, or set the "
                    f"profile's type {use}"
                )
                where = path_text((*path, "protection", use, "profile"))
                yield Problem(line, where, message)
