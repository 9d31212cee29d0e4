"""What `help` prints and what docs/cli.md says, both from the table of commands.

`python -m control.cli.manual > docs/cli.md` writes the page.
"""

from __future__ import annotations

from control.cli.commands.table import PIPES
from control.cli.logs import DEFAULT_ENTRIES
from control.cli.sessions import MAX_LISTED
from control.cli.syntax import commands
from control.cli.tokens import Token

_INTRODUCTION = f"""\
# Operational commands

`sixtuple cli` opens a prompt on a running firewall. `sixtuple cli -c "COMMAND"` (as often as
needed) prints the answers and leaves; commands also come from standard input, one a line. The
exit status is 0, or 1 where the firewall refused a command, or 2 where it could not be reached.

Keywords may be shortened to any unambiguous beginning (`sh ses all`). At the prompt, Tab
completes and `?` lists what can come next. Names with blanks go in double quotes.

`show session all` stops after {MAX_LISTED} sessions and says how many it left out. Filters take
host addresses, not networks. Rates of `show counter global` cover the time since it was last
printed; `filter delta yes` has a time of its own. `show log traffic` and `show log threat` print
the newest {DEFAULT_ENTRIES} entries, the oldest of them first. `set cli pager on` is forgotten when
the prompt is left.

`set session offload no` takes every session back from the offload engine at once, and `yes` lets
them return. It holds until a commit changes the setting or the dataplane restarts; `set
deviceconfig setting session offload no` in the configuration is the lasting form. While a session
is offloaded, `show session id` counts its bytes and packets up to the engine's last report, from
which its time to live runs as well; `packets since last report` says how far the next one is.

`show zone-protection` has the profile of each zone beside what it has done since the dataplane
started; rates are packets a second that belong to no session. `show counter global filter aspect
dos` counts the same for all zones and rules together. Floods and scans are always in the threat
log, single packets that zone protection refuses only while `set system setting
additional-threat-log on` holds, until the dataplane restarts. Sources a scan or a DoS rule has
blocked are listed by `show dos-block-table all`; `clear dos-protection zone` lets those of a zone
in again, in every zone. `show session packet-buffer-protection` says how many packets wait for the
dataplane to decide about their session.

A **candidate configuration** waits beside the running one. `load config from FILE` reads it whole
(FILE is absolute, or relative to the directory of the file the firewall was started with),
`validate full` checks it, `show config diff` says what would change, and `commit` brings dataplane
and kernel to it, between two packets, without ending sessions that are still allowed. A candidate
with errors is refused with all of them, each with its line, and the old configuration goes on
running; so it does when the kernel does not take the new one. There is one commit at a time, and
it goes on when the administrator who asked for it leaves. `revert config` and `load config from
running-config` make the candidate what is running.

`commit` does not write the file of `sixtuple run --config FILE`, which is what the next start, and
SIGHUP, make the running configuration; after SIGHUP it is the candidate, too. To make a commit
last, `save config to FILE`: it writes the candidate as `set` commands. With `sixtuple run
--persist`, as the service has it, every commit does that for the file of the start; where it
cannot, the commit is in force all the same, and a warning says why. A configuration that is
there already is kept as `FILE.previous`; a file that is anything else is never replaced. There is
no configuration mode in this version.

`test security-policy-match` and its like ask the rules in force about a first packet; addresses and
ports are those before translation. Zones of `test nat-policy-match` and `test dos-policy-match` are
those of the original routes, the destination zone of the others is that of the way the packet
takes. What is not said may be anything. `show rule-hit-count` has the times of the last and first
hit and since when it is counted; counts stay over commits and end with the dataplane. A list of
names is written `[ a b ]`.

This page is written by `python -m control.cli.manual`.
"""


def summary() -> str:
    """Every command on a line."""
    syntaxes = list(commands())
    width = max(len(syntax.name) for syntax in syntaxes)
    lines = [f"{syntax.name:<{width}s}  {syntax.help}" for syntax in syntaxes]
    pipes = "  ".join(f"| {_pipe(token)}" for token in PIPES.then)
    lines += ["", f"Pipes: {pipes}", "? lists what can come next, Tab completes."]
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """docs/cli.md."""
    parts = [_INTRODUCTION]
    for syntax in commands():
        parts.append(f"\n## {syntax.name}\n\n{syntax.help}.\n")
        if syntax.options:
            rows = "".join(f"| `{_cell(text)}` | {help} |\n" for text, help in syntax.options)
            parts.append(f"\n| option | meaning |\n| --- | --- |\n{rows}")
    pipes = "".join(f"| `\\| {_pipe(token)}` | {token.help.lower()} |\n" for token in PIPES.then)
    parts.append(f"\n## Pipes\n\n| after a command | meaning |\n| --- | --- |\n{pipes}")
    return "".join(parts)


def _pipe(token: Token) -> str:
    return " ".join([token.text, *(one.label for one in token.then)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
