"""What `help` prints and what docs/cli.md says, both from the grammar's table.

`python -m control.cli.manual > docs/cli.md` writes the page.
"""

from __future__ import annotations

from control.cli import grammar
from control.cli.sessions import MAX_LISTED
from control.cli.traffic_log import DEFAULT_ENTRIES

_INTRODUCTION = f"""\
# Operational commands

`sixtuple cli` opens a prompt on a running firewall. `sixtuple cli -c "COMMAND"` (as often as
needed) prints the answers and leaves; commands also come from standard input, one a line. The
exit status is 0, or 1 where the firewall refused a command, or 2 where it could not be reached.

Keywords may be shortened to any unambiguous beginning (`sh ses all`). At the prompt, Tab
completes and `?` lists what can come next. Names with blanks go in double quotes.

`show session all` stops after {MAX_LISTED} sessions and says how many it left out. Filters take
host addresses, not networks. Rates of `show counter global` cover the time since it was last
printed; `filter delta yes` has a time of its own. `show log traffic` prints the newest
{DEFAULT_ENTRIES} entries, the oldest of them first. `set cli pager on` is forgotten when the
prompt is left.

`set session offload no` takes every session back from the offload engine at once, and `yes` lets
them return. It holds until a commit changes the setting or the dataplane restarts; `set
deviceconfig setting session offload no` in the configuration is the lasting form. While a session
is offloaded, `show session id` counts its bytes and packets up to the engine's last report, from
which its time to live runs as well; `packets since last report` says how far the next one is.

There is no configuration mode in this version: `sixtuple run --config FILE` decides the
configuration.

This page is written by `python -m control.cli.manual`.
"""


def summary() -> str:
    """Every command on a line."""
    syntaxes = list(grammar.commands())
    width = max(len(syntax.name) for syntax in syntaxes)
    lines = [f"{syntax.name:<{width}s}  {syntax.help}" for syntax in syntaxes]
    pipes = "  ".join(f"| {_pipe(token)}" for token in grammar.PIPES.then)
    lines += ["", f"Pipes: {pipes}", "? lists what can come next, Tab completes."]
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """docs/cli.md."""
    parts = [_INTRODUCTION]
    for syntax in grammar.commands():
        parts.append(f"\n## {syntax.name}\n\n{syntax.help}.\n")
        if syntax.options:
            rows = "".join(f"| `{_cell(text)}` | {help} |\n" for text, help in syntax.options)
            parts.append(f"\n| option | meaning |\n| --- | --- |\n{rows}")
    pipes = "".join(
        f"| `\\| {_pipe(token)}` | {token.help.lower()} |\n" for token in grammar.PIPES.then
    )
    parts.append(f"\n## Pipes\n\n| after a command | meaning |\n| --- | --- |\n{pipes}")
    return "".join(parts)


def _pipe(token: grammar.Token) -> str:
    return " ".join([token.text, *(one.label for one in token.then)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
