"""`make vm-run`: the lab with the firewall as a machine, real traffic through it, and its console.

Ends in the firewall's command line where there is a terminal. The status is 1 where anything did
not go as expected, 2 where there can be no lab.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from vm import console, image, program, registry, traffic
from vm.demo import show
from vm.machine_lab import MachineLab, check_host
from vm.namespaces import CHECKOUT, LabError
from vm.service import Service, await_service

NAME = "vm"
SESSIONS = "show session all"


def step(line: str) -> None:
    show(f"  {line}")


@contextlib.contextmanager
def known() -> Iterator[MachineLab]:
    """The lab, which other terminals find by its name."""
    check_host()
    built = image.build(step)
    with registry.locked(NAME):
        if registry.find(NAME):
            raise LabError(
                f"lab {NAME} is up already; end it with: sixtuple lab down --name {NAME}"
            )
        lab = MachineLab.boot(built, step)
        registry.add(NAME, lab)
    try:
        with lab:
            yield lab
    finally:
        registry.remove(NAME)


def demonstrate(lab: MachineLab) -> bool:
    await_service(lab, step)
    show("\ntraffic: real clients and servers through the machine\n")
    as_expected = traffic.report(traffic.attempts(lab), show)
    if sys.stdin.isatty() and sys.stdout.isatty():
        show(
            f"\nFrom another terminal, after export PATH={CHECKOUT}/.venv/bin:$PATH\n"
            f"  the same again:  sixtuple lab traffic --name {NAME}\n"
            f"  from a host:     sixtuple lab exec --name {NAME} client curl http://203.0.113.10/\n"
            f"  in the machine:  sixtuple lab exec --name {NAME} firewall journalctl -u sixtuple\n"
            f"\nThe firewall's command line, on the machine's console; {console.LEAVE_NAME} ends"
            " the demonstration."
        )
        console.attach(lab)
    else:
        show(f"\nadmin@lab> {SESSIONS}\n\n{Service(lab).ask(SESSIONS).rstrip()}")
    show("\nthe machine shuts down")
    lab.machine.shut_down()
    return as_expected


def main() -> int:
    show("lab: the firewall as a machine, its seven hosts in network namespaces")
    try:
        with known() as lab:
            try:
                as_expected = demonstrate(lab)
            except (LabError, TimeoutError, subprocess.TimeoutExpired) as error:
                print(f"vm-run: {error}", file=sys.stderr)
                return 1
    except (LabError, TimeoutError) as error:
        print(f"vm-run: {error}", file=sys.stderr)
        return 2
    return program.conclude(as_expected)


if __name__ == "__main__":
    program.run(main)
