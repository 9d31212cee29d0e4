"""Frames with a VLAN tag do not pass a bridge of ours.

The hook sees the IP packet behind one tag, but not behind two, nor what else a tag may hide. A
sub-interface takes its tag off before the bridge; what still has one is for no port that is
configured.
"""

import shutil
from collections.abc import Collection

from control.system.errors import KernelError
from control.system.hook import CHAIN, SEARCH_PATH, run_tool

_TOOL = "ebtables-nft"  # comes with iptables
_JUMP = f"-A FORWARD -j {CHAIN}"
_TAGS = {"802_1Q": "802_1Q", "0x88a8": "S-TAG"}  # as they are written, as they are shown


def install(interfaces: Collection[str]) -> None:
    """Exactly for these ports of bridges, whatever was there before. Raises KernelError."""
    if interfaces and not _has_tool():
        raise KernelError(f"{_TOOL} is missing, which bridged ports need: install iptables")
    present = _present()
    pairs = [(tag, name) for name in interfaces for tag in _TAGS]
    wanted = [f"-A {CHAIN} -p {tag} -i {name} -j DROP" for tag, name in pairs]
    shown = [f"-A {CHAIN} -p {_TAGS[tag]} -i {name} -j DROP" for tag, name in pairs]
    ours = [line for line in present if line.startswith(f"-A {CHAIN} ")]
    if ours == shown and (_JUMP in present or not shown):
        return
    jump = [] if _JUMP in present else [f"-I FORWARD 1 -j {CHAIN}"]
    lines = ("*filter", f":{CHAIN} RETURN", *wanted, *jump, "")  # made, or emptied
    run_tool([f"{_TOOL}-restore", "--noflush"], "\n".join(lines))


def remove() -> None:
    """Raises KernelError."""
    present = _present()
    if _JUMP in present:
        run_tool([_TOOL, *_JUMP.replace("-A", "-D").split()])
    if f":{CHAIN} RETURN" in present:
        run_tool([_TOOL, "-F", CHAIN])
        run_tool([_TOOL, "-X", CHAIN])


def _has_tool() -> bool:
    return shutil.which(f"{_TOOL}-save", path=SEARCH_PATH) is not None


def _present() -> list[str]:
    return run_tool([f"{_TOOL}-save"]).splitlines() if _has_tool() else []
