"""`make run`: a lab, the firewall in it, real traffic through it, and what the firewall says of it.

Ends in the firewall's command line where there is a terminal. The status is 1 where anything did
not go as expected, 2 where there can be no lab.
"""

import os
import re
import signal
import subprocess
import sys

from vm import program, traffic
from vm.firewall import Firewall
from vm.namespaces import Lab, LabError, environment
from vm.topology import FIREWALL
from vm.waiting import wait_until

FIRST_END_WITHIN_S = 40  # a TCP session stays for 15 s after its last FIN


def show(line: str) -> None:
    print(line, flush=True)


def ask(firewall: Firewall, command: str) -> str:
    answer = firewall.ask(command)
    show(f"\nadmin@lab> {command}\n\n{answer.rstrip()}")
    return answer


def session_to_web(listing: str) -> str:
    """The id of the first session to port 80 that is not a denied one."""
    rows = re.findall(r"^(\d+) +\S+ +ACTIVE .*\n.*\[80\]/untrust", listing, re.MULTILINE)
    if not rows:
        raise LabError("the session table shows no session to the web server")
    return str(rows[0])


def look(firewall: Firewall) -> None:
    listing = ask(firewall, "show session all")
    ask(firewall, f"show session id {session_to_web(listing)}")
    ask(firewall, "show counter global")
    show("\nwaiting for the first TCP session to end: 15 s after its last FIN")
    wait_until(
        lambda: "tcp-fin" in firewall.ask("show log traffic"),
        "the end of a session in the traffic log",
        seconds=FIRST_END_WITHIN_S,
    )
    ask(firewall, "show log traffic")


def run_in_foreground(command: list[str]) -> None:
    """Runs an interactive command that has the terminal and its ^C for itself, as a shell would."""
    terminal = sys.stdin.fileno()
    ours = os.tcgetpgrp(terminal)
    process = subprocess.Popen(command, env=environment(), process_group=0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or taking the terminal back would stop us
    os.tcsetpgrp(terminal, process.pid)
    os.killpg(process.pid, signal.SIGCONT)  # in case it wanted the terminal before that
    process.wait()
    os.tcsetpgrp(terminal, ours)


def demonstrate(lab: Lab) -> bool:
    show("firewall: sixtuple run --config vm/lab.set")
    firewall = Firewall(lab)
    firewall.start()
    show("\ntraffic: real clients and servers through the firewall\n")
    as_expected = traffic.report(traffic.attempts(lab), show)
    look(firewall)
    if sys.stdin.isatty() and sys.stdout.isatty():
        show("\nThe firewall's command line; `exit` ends the demonstration.")
        run_in_foreground(lab.command(FIREWALL, firewall.cli()))
    status = firewall.stop()
    if status:
        raise LabError(f"the firewall ended with status {status}: {firewall.said()}")
    return as_expected


def main() -> int:
    show("lab: five hosts in network namespaces, nothing outside them is touched")
    try:
        lab = Lab.start(lambda line: show(f"  {line}"))
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    try:
        with lab:
            as_expected = demonstrate(lab)
    except (LabError, TimeoutError, subprocess.TimeoutExpired) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return program.conclude(as_expected)


if __name__ == "__main__":
    program.run(main)
