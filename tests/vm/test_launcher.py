"""qemu's command line: what of it other parts and the machine itself rely on."""

from itertools import pairwise
from pathlib import Path

import pytest

from vm.launcher import Options, command_line
from vm.topology import LINKS


def words(accelerator: str = "tcg", cpus: int = 1, root: str = "/images/root.ext2") -> list[str]:
    options = Options(
        accelerator=accelerator,
        kernel=Path("/images/vmlinuz"),
        root=Path(root),
        cpus=cpus,
        memory_mib=512,
    )
    taps = {
        f"eth{port}": [10 * port + queue for queue in range(1, cpus + 1)]
        for port in reversed(range(len(LINKS) + 1))
    }
    return command_line(options, taps)


def values(command: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(command) if name == option]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("-M", ["q35"]),
        ("-m", ["512M"]),
        ("-smp", ["1"]),
        ("-kernel", ["/images/vmlinuz"]),
        ("-display", ["none"]),
        ("-serial", ["file:/run/lab/serial.log"]),
    ],
)
def test_an_option(option: str, expected: list[str]) -> None:
    assert values(words(), option) == expected


@pytest.mark.parametrize(("accelerator", "cpu"), [("tcg", "max"), ("kvm", "host")])
def test_the_accelerator_and_its_processor(accelerator: str, cpu: str) -> None:
    command = words(accelerator)
    assert values(command, "-accel") == [accelerator]
    assert values(command, "-cpu") == [cpu]


def test_a_reboot_keeps_the_process_and_a_panic_reboots() -> None:
    command = words()
    assert "-no-reboot" not in command
    assert "panic=-1" in values(command, "-append")[0].split()


def test_the_image_is_never_written_and_the_root_is_read_only() -> None:
    command = words(root="/a,b/root.ext2")
    (root,) = [drive for drive in values(command, "-drive") if "id=root" in drive]
    assert "readonly=on" in root
    assert root.endswith("file=/a,,b/root.ext2")
    assert "ro" in values(command, "-append")[0].split()


@pytest.mark.parametrize("cpus", [1, 2])
def test_the_ports_are_in_order_on_the_bus_with_a_queue_for_each_processor(cpus: int) -> None:
    command = words(cpus=cpus)
    netdevs = values(command, "-netdev")
    devices = [device for device in values(command, "-device") if "virtio-net" in device]
    assert len(netdevs) == len(devices) == 6
    for port, (netdev, device) in enumerate(zip(netdevs, devices, strict=True)):
        settings = dict(word.split("=") for word in device.split(",")[1:])
        assert settings["netdev"] == f"port{port}"
        assert f"id=port{port}," in netdev
        assert settings["mac"] == f"52:54:00:00:00:0{port}"
        assert int(settings["addr"], 16) == 0x10 + port
        has_queues = cpus > 1 and port < 5
        assert ("mq=on" in device, "vectors=6" in device) == (has_queues, has_queues)
        if port < 5:
            fds = [str(10 * port + queue) for queue in range(1, cpus + 1)]
            assert netdev.endswith(f"fds={':'.join(fds)}")
    assert netdevs[5].startswith("dgram,")
