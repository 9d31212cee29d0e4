"""Starts the machine: opens the taps of its links, then becomes qemu.

Run in the lab, in the network namespace `firewall`; whoever ends the lab ends the machine. What the
machine and the one who started it share is in the lab's directory: sockets, the log of the serial
line, and the data disk, which outlives the machine but not the lab.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vm import taps
from vm.holder import STATE
from vm.switch import MACHINE_TRUNK, TRUNK
from vm.topology import MACHINE_LINKS

QEMU = "qemu-system-x86_64"
AGENT = STATE / "agent.sock"
CONSOLE = STATE / "console.sock"
SERIAL_LOG = STATE / "serial.log"
DATA = STATE / "data.img"
DATA_BYTES = 512 << 20
PROCESSORS = {"kvm": ("-accel", "kvm", "-cpu", "host"), "tcg": ("-accel", "tcg", "-cpu", "max")}
# the first serial line is the log; quiet, since each of its characters costs an exit of the guest
KERNEL_OPTIONS = "console=ttyS0 panic=-1 quiet net.ifnames=0 root=/dev/nvme0n1 ro"


class Options(argparse.Namespace):
    accelerator: str
    kernel: Path
    root: Path
    cpus: int
    memory_mib: int


def _port(number: int, netdev: str, more: str = "") -> list[str]:
    # the place on the bus decides which ethN it is
    device = f"virtio-net-pci,netdev=port{number},mac=52:54:00:00:00:{number:02x}"
    place = f"addr={0x10 + number:#x},romfile="
    return ["-netdev", netdev, "-device", f"{device},{place}{more}"]


def ports(taps: Mapping[str, Sequence[int]]) -> list[str]:
    """eth0 to eth5; `taps` has the descriptors of each port's queues."""
    words = []
    for port, descriptors in sorted(taps.items()):
        number = int(port.removeprefix("eth"))
        fds = ":".join(map(str, descriptors))
        queues = len(descriptors)
        # two vectors for each pair of queues, one for the configuration, one for control
        more = f",mq=on,vectors={2 * queues + 2}" if queues > 1 else ""
        words += _port(number, f"tap,id=port{number},fds={fds}", more)
    (trunk,) = {link.port for link in MACHINE_LINKS if link.vlan}
    number = int(trunk.removeprefix("eth"))
    ends = f"local.type=unix,local.path={MACHINE_TRUNK},remote.type=unix,remote.path={TRUNK}"
    return [*words, *_port(number, f"dgram,id=port{number},{ends}")]


def command_line(options: Options, taps: Mapping[str, Sequence[int]]) -> list[str]:
    def path(name: Path) -> str:
        return str(name).replace(",", ",,")  # as qemu wants a comma in a value

    words = [QEMU, "-name", "firewall", "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-M", "q35", *PROCESSORS[options.accelerator]]
    words += ["-smp", str(options.cpus), "-m", f"{options.memory_mib}M"]
    words += ["-kernel", str(options.kernel), "-append", KERNEL_OPTIONS]
    words += ["-drive", f"if=none,id=root,format=raw,readonly=on,file={path(options.root)}"]
    words += ["-device", "nvme,drive=root,serial=root"]
    # a write that finds no room is an error, not a machine that stands still
    words += ["-drive", f"if=none,id=data,format=raw,werror=report,discard=unmap,file={DATA}"]
    words += ["-device", "virtio-blk-pci,drive=data"]
    words += ["-device", "virtio-rng-pci", "-serial", f"file:{SERIAL_LOG}"]
    words += ["-device", "virtio-serial-pci"]
    words += ["-chardev", f"socket,id=agent,path={AGENT},server=on,wait=off"]
    words += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
    words += ["-chardev", f"socket,id=console,path={CONSOLE},server=on,wait=off"]
    words += ["-device", "virtconsole,chardev=console"]
    return [*words, *ports(taps)]


def main() -> None:
    parser = argparse.ArgumentParser("vm.launcher")
    parser.add_argument("--accelerator", choices=PROCESSORS, required=True)
    parser.add_argument("--kernel", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--cpus", type=int, required=True)
    parser.add_argument("--memory-mib", type=int, required=True)
    options = parser.parse_args(namespace=Options())
    try:
        with DATA.open("ab") as data:
            data.truncate(DATA_BYTES)
        opened = {
            link.port: taps.open_queues(link.host, options.cpus)
            for link in MACHINE_LINKS
            if not link.vlan
        }
        for descriptors in opened.values():
            for descriptor in descriptors:
                os.set_inheritable(descriptor, True)
        command = command_line(options, opened)
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"taps, data disk or qemu: {error}")


if __name__ == "__main__":
    main()
