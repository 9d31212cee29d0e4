"""Which platform is emulated is decided when a dataplane starts."""

import os
import re
import signal

from vm.firewall import Firewall
from vm.namespaces import Lab
from vm.waiting import wait_until


def test_another_platform_is_for_the_next_start(lab: Lab, firewall: Firewall) -> None:
    def platform() -> str:
        return re.findall(r"(?m)^platform-family: (\S+)$", successor.ask("show system info"))[0]

    (dataplane,) = firewall.dataplanes()
    firewall.kill_management()
    successor = Firewall(lab, firewall.config, "--platform", "software")
    successor.start()
    try:
        assert firewall.dataplanes() == [dataplane]
        assert (
            "emulates platform pa-5000 and goes on so; software is for its next start\n"
            in successor.said()
        )
        assert platform() == "pa-5000"
        os.kill(dataplane, signal.SIGKILL)
        wait_until(lambda: platform() == "software", "the next one emulates nothing", seconds=20)
        said = lab.run("firewall", successor.cli("set session offload yes"))
        assert said.returncode == 1
        assert said.stdout == (
            "platform software has no offload engine; pa-5000, pa-7000 have one\n"
        )
    finally:
        successor.kill()
