"""The configuration's elements: names, values, defaults and what each is for. The only such list.

The set syntax, the checks, completion and docs/configuration.md are all made from ROOT. Element
names are the vendor's. What a real device has beyond this is listed too, as kept without effect,
so that its configuration can be loaded and nothing in it vanishes. The parts are in the files
schema_*.py.
"""

from __future__ import annotations

from control.config import (
    schema_device,
    schema_network,
    schema_objects,
    schema_policy,
    schema_protection,
)
from control.config.elements import (
    Container,
    Element,
    Leaf,
    NamedList,
    container,
    kept,
    kept_leaves,
    named_list,
)
from control.config.errors import shown, suggestion
from control.config.value_types import name

# subtrees of the configuration that may stand in shared as well
_OTHER_SUBTREES = (
    "application-filter",
    "application-status",
    "application-tag",
    "authentication-object",
    "authentication-profile",
    "authentication-sequence",
    "botnet",
    "captive-portal",
    "certificate",
    "certificate-profile",
    "device-object",
    "dns-proxy",
    "dynamic-user-group",
    "email-scheduler",
    "external-list",
    "global-protect",
    "group-mapping",
    "local-user-database",
    "log-settings",
    "ocsp-responder",
    "pdf-summary-report",
    "profile-group",
    "redistribution-agent",
    "redistribution-collector",
    "region",
    "report-group",
    "reports",
    "response-page",
    "scep",
    "sdwan-interface-profile",
    "server-profile",
    "setting",
    "ssl-decrypt",
    "ssl-tls-service-profile",
    "tag",
    "threats",
    "ts-agent",
    "user-id-agent",
    "user-id-collector",
    "user-id-ssl-auth",
    "vm-info-source",
)


def _shared() -> Container:
    return container(
        "shared",
        "What all virtual systems share.",
        container(
            "override",
            "Changes of what is predefined.",
            named_list(
                "application",
                "Timers of predefined applications.",
                "application",
                name(),
                schema_objects.APPLICATION_TIMERS,
                kept_leaves("risk"),
            ),
        ),
        kept("address", "address-group", "application", "application-group"),
        kept("schedule", "service", "service-group"),
        kept("admin-role", "alg-override", "content-preview", "post-rulebase", "pre-rulebase"),
        kept("profiles", "ssl-exclude-cert", *_OTHER_SUBTREES),
    )


def _profiles() -> Container:
    return container(
        "profiles",
        "Profiles of rules.",
        schema_protection.dos_protection(),
        kept("custom-url-category", "data-filtering", "data-objects", "decryption"),
        kept("dns-security", "file-blocking", "gtp", "hip-objects", "hip-profiles"),
        kept("packet-broker", "sctp", "sdwan-error-correction", "sdwan-path-quality"),
        kept("sdwan-saas-quality", "sdwan-traffic-distribution", "spyware", "url-filtering"),
        kept("virus", "vulnerability", "wildfire-analysis"),
    )


ROOT = container(
    "",
    "The configuration.",
    schema_network.network(),
    schema_network.zone(),
    schema_objects.objects(),
    schema_policy.rulebase(),
    _profiles(),
    schema_device.deviceconfig(),
    schema_device.imports(),
    _shared(),
    kept("mgt-config", *_OTHER_SUBTREES),
    kept_leaves("display-name"),
)


def element(*path: str) -> Element:
    """The element at a path of elements and entry names. Raises KeyError where there is none."""
    at: Element = ROOT
    for word in path:
        if isinstance(at, NamedList):
            at = at.entry
        elif isinstance(at, Container):
            at = at.children[word]
        else:
            raise KeyError(word)
    return at


def default(*path: str) -> str:
    """The default of the leaf there."""
    leaf = element(*path)
    assert isinstance(leaf, Leaf)
    return leaf.default


def unknown(word: str, among: Container) -> str:
    """The message for a word that is none of a container's elements."""
    if not among.children:
        return f"nothing may stand behind this, but {shown(word)} does"
    close = suggestion(word, among.children)
    return f"unknown element {shown(word)}" + (close or f"; possible are {among.right()}")
