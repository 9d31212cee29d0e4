"""The demonstration's traffic: real clients and servers, and what lab.set lets each of them do."""

import subprocess
from collections.abc import Callable, Iterator
from typing import NamedTuple

from vm.namespaces import Lab
from vm.topology import (
    CLIENT2,
    CLIENT2_6,
    DMZ,
    PING_TARGET,
    PING_TARGET6,
    SERVER,
    SERVER6,
    WEB_NAME,
)

_PING = ("ping", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "2")
_CURL = ("curl", "--silent", "--show-error", "--output", "/dev/null", "--connect-timeout", "2")
_STATUS = ("--max-time", "10", "--write-out", "%{http_code}, %{size_download} bytes")
_DIG = ("dig", "+short", "+time=2", "+tries=1", WEB_NAME)
CURL_TIMED_OUT = 28


class Attempt(NamedTuple):
    """Something a client tries."""

    what: str
    target: str
    command: tuple[str, ...]
    passes: bool


class Outcome(NamedTuple):
    attempt: Attempt
    passed: bool
    happened: str

    @property
    def as_expected(self) -> bool:
        return self.passed == self.attempt.passes


ATTEMPTS = (
    Attempt("HTTP", SERVER, (*_CURL, *_STATUS, f"http://{SERVER}/"), True),
    Attempt("HTTP over IPv6", SERVER6, (*_CURL, *_STATUS, f"http://[{SERVER6}]/"), True),
    Attempt("HTTP, 1 MiB", SERVER, (*_CURL, *_STATUS, f"http://{SERVER}/download"), True),
    Attempt("DNS", SERVER, (*_DIG, "A", f"@{SERVER}"), True),
    Attempt("DNS over IPv6", SERVER6, (*_DIG, "AAAA", f"@{SERVER6}"), True),
    Attempt("DNS over TCP", SERVER, (*_DIG, "+tcp", "A", f"@{SERVER}"), True),
    Attempt("ping", PING_TARGET, (*_PING, PING_TARGET), True),
    Attempt("ping over IPv6", PING_TARGET6, (*_PING, PING_TARGET6), True),
    Attempt("ping within trust", CLIENT2, (*_PING, CLIENT2), True),
    Attempt("the same over IPv6", CLIENT2_6, (*_PING, CLIENT2_6), True),
    Attempt("HTTP to the DMZ", DMZ, (*_CURL, *_STATUS, f"http://{DMZ}/"), False),
    Attempt("ping not allowed", SERVER, ("ping", "-n", "-q", "-c", "1", "-W", "1", SERVER), False),
)


def _summary(command: tuple[str, ...], done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if command[0] == "curl" and done.returncode == 0:
        return lines[-1]
    if command[0] == "curl" and done.returncode == CURL_TIMED_OUT:
        return "no answer"
    if command[0] == "ping" and done.returncode in (0, 1):
        return next((line.split(", time")[0] for line in lines if "received" in line), "no answer")
    if command[0] == "dig" and done.returncode == 0 and lines:
        return lines[0]
    said = (done.stderr or done.stdout).split("\n")[0].strip("; ")
    return said or f"{command[0]}: exit status {done.returncode}"


def attempt(lab: Lab, what: Attempt) -> Outcome:
    try:
        done = lab.run("client", what.command, timeout=20)
    except subprocess.TimeoutExpired:
        return Outcome(what, False, f"{what.command[0]} did not end within 20 s")
    return Outcome(what, done.returncode == 0, _summary(what.command, done))


def attempts(lab: Lab) -> Iterator[Outcome]:
    """Tries everything, one after the other."""
    for what in ATTEMPTS:
        yield attempt(lab, what)


_ROW = "{:<19} {:<16} {:<9} {:<5} {}".format


def report(outcomes: Iterator[Outcome], show: Callable[[str], None]) -> bool:
    """Shows a table row by row; says whether all went as expected."""
    show(_ROW("from client", "to", "expected", "", "what happened"))
    unexpected = 0
    for what, passed, happened in outcomes:
        good = passed == what.passes
        unexpected += not good
        show(
            _ROW(
                what.what,
                what.target,
                "passes" if what.passes else "blocked",
                "ok" if good else "WRONG",
                happened,
            )
        )
    return not unexpected
