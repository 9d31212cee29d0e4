"""`sixtuple lab`: labs from the command line, the firewall a namespace or a machine."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from vm import image, registry, traffic
from vm.console import LEAVE_NAME, attach
from vm.firewall import CONFIG
from vm.machine_lab import MachineLab, check_host
from vm.namespaces import Lab, LabError, environment
from vm.service import await_service
from vm.topology import FIREWALL, HOSTS, MACHINE_HOSTS

_COMMAND_WITHIN_S = 3600  # in a machine; its output comes at the end


class _AddressInfo(msgspec.Struct):
    scope: str
    local: str = ""
    prefixlen: int = 0


class _LinkInfo(msgspec.Struct):
    """An interface as `ip -json address` describes it."""

    ifname: str
    addr_info: list[_AddressInfo]


def _running(name: str) -> Lab:
    lab = registry.find(name)
    if lab is None:
        raise LabError(f"lab {name} is not up; start it with: sixtuple lab up --name {name}")
    return lab


def _show(line: str) -> None:
    print(line, flush=True)


def up(name: str, *, with_machine: bool) -> int:
    with registry.locked(name):
        if registry.find(name):
            print(f"lab {name} is up already")
            return 0
        if with_machine:
            check_host()
            lab: Lab = MachineLab.boot(image.build(_show), _show, tied=False)
        else:
            lab = Lab.start(_show, tied=False)
        try:
            if isinstance(lab, MachineLab):
                await_service(lab, _show)
            registry.add(name, lab)
        except BaseException:
            lab.stop()
            raise
    option = "" if name == "default" else f"--name {name} "
    if with_machine:
        firewall = f"  its CLI:        sixtuple lab console {option}".rstrip()
    else:
        firewall = (
            f"  the firewall:   sixtuple lab exec {option}firewall sixtuple run --config {CONFIG}\n"
            f"  its CLI:        sixtuple lab exec {option}firewall sixtuple cli"
        )
    print(
        f"lab {name} is up. In it, run\n{firewall}\n"
        f"  traffic:        sixtuple lab traffic {option}".rstrip()
    )
    return 0


def status(name: str) -> int:
    lab = registry.find(name)
    if lab is None:
        print(f"lab {name} is not up")
        return 1
    print(f"lab {name} is up, holder process {lab.holder}\n")
    print(f"{'host':<10} {'interface':<10} addresses")
    for host in lab.hosts:
        said = lab.run(host, ["ip", "-json", "address"]).stdout
        for link in msgspec.json.decode(said, type=list[_LinkInfo]):
            texts = [
                f"{address.local}/{address.prefixlen}"
                for address in link.addr_info
                if address.scope == "global"
            ]
            if link.ifname != "lo":
                print(f"{host:<10} {link.ifname:<10} {' '.join(texts) or '-'}")
    print(f"\n{'host':<10} {'process':<10} command")
    for host, pid, command in lab.processes():
        print(f"{host:<10} {pid:<10} {command}")
    return 0


def execute(name: str, host: str, argv: list[str]) -> int:
    lab = _running(name)
    if isinstance(lab, MachineLab) and host == FIREWALL:
        done = lab.run(host, argv, timeout=_COMMAND_WITHIN_S)
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return done.returncode if done.returncode >= 0 else 128 - done.returncode
    here = Path.cwd()
    # a directory the lab does not show (below its private /run) cannot be stood in
    cwd = str(here) if lab.path(here).is_dir() else "/"
    command = lab.command(host, argv, cwd=cwd)
    sys.stdout.flush()
    os.execvpe(command[0], command, environment())


def console(name: str) -> int:
    lab = _running(name)
    if not isinstance(lab, MachineLab):
        raise LabError(
            f"the firewall of lab {name} is no machine; its CLI: sixtuple lab exec --name {name}"
            " firewall sixtuple cli"
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise LabError("lab console needs a terminal")
    _show(f"the machine's console; {LEAVE_NAME} leaves")
    attach(lab)
    return 0


def drive(name: str) -> int:
    lab = _running(name)
    as_expected = traffic.report(traffic.attempts(lab), _show)
    return 0 if as_expected else 1


def down(name: str) -> int:
    with registry.locked(name):
        lab = registry.find(name)
        if lab:
            lab.stop()
        registry.remove(name)
    print(f"lab {name} is down" if lab else f"lab {name} was not up")
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("sixtuple lab", description="Hosts, links and servers around a firewall.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--name", default="default", help="which lab (default: %(default)s)")
        return command

    command = add("up", "start a lab in the background")
    command.add_argument("--vm", action="store_true", help="with the firewall as a machine (qemu)")
    add("status", "its hosts, addresses and processes; status 1 where it is not up")
    more = ", ".join(sorted({*MACHINE_HOSTS} - {*HOSTS}))
    hosts = f"{', '.join(HOSTS)}; with a machine also {more}"
    command = add("exec", f"run a command on a host ({hosts})")
    command.add_argument("host", metavar="HOST")
    command.add_argument("argv", metavar="CMD", nargs=argparse.REMAINDER)
    add("console", "the console of a firewall that is a machine: its command line")
    add("traffic", "drive the demonstration traffic; status 1 where it did not go as expected")
    add("down", "end a lab and everything in it")
    return parser


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    name: str = arguments.name
    try:
        match arguments.command:
            case "up":
                return up(name, with_machine=arguments.vm)
            case "status":
                return status(name)
            case "exec":
                command: list[str] = arguments.argv
                if command[:1] == ["--"]:
                    del command[0]
                if not command:
                    raise LabError("lab exec: which command? sixtuple lab exec HOST CMD...")
                return execute(name, arguments.host, command)
            case "console":
                return console(name)
            case "traffic":
                return drive(name)
            case _:
                return down(name)
    except LabError as error:
        print(f"sixtuple lab: {error}", file=sys.stderr)
    except subprocess.TimeoutExpired as error:
        print(f"sixtuple lab: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 2
