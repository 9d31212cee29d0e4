"""What stands between client and server: a row of the table each."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from tests.bench.columns import LOADS, NEW_CONNECTIONS, UNDER_FLOOD, Load
from tests.bench.rules import configuration
from tests.bench.site import BUILD, Site
from vm.firewall import Firewall

# as a careful administrator writes it: known connections first, new ones by where they come from
_CONNTRACK = """\
nft -f - <<END
table ip filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct state new iifname "eth1" oifname "eth2" accept
    }
}
END"""


class Row(NamedTuple):
    key: str
    title: str
    stand: Callable[[Site], AbstractContextManager[None]]
    loads: tuple[Load, ...] = LOADS


def _kernel(*commands: str) -> Callable[[Site], AbstractContextManager[None]]:
    @contextmanager
    def stand(site: Site) -> Iterator[None]:
        site.forward(*commands)
        yield

    return stand


def _accepting(how: str) -> Callable[[Site], AbstractContextManager[None]]:
    @contextmanager
    def stand(site: Site) -> Iterator[None]:
        site.forward()
        with site.accepting(how):
            yield

    return stand


class _Firewall(Firewall):
    """With an edge of choice."""

    io = "native"

    @classmethod
    def program(cls, *words: str | Path) -> list[str]:
        return Firewall.program(*words, *(("--io", cls.io) if words[0] == "run" else ()))


class _FirewallOverPackage(_Firewall):
    io = "netfilterqueue"


def _sixtuple(
    firewall_class: type[Firewall],
    rules: int,
    *,
    offload: bool = True,
    nat: bool = False,
    cookies: bool = False,
    flood: bool = False,
) -> Callable[[Site], AbstractContextManager[None]]:
    @contextmanager
    def stand(site: Site) -> Iterator[None]:
        path = BUILD / f"rules-{rules}.set"
        path.write_text(configuration(rules, offload=offload, nat=nat, cookies=cookies))
        firewall = firewall_class(site.lab, path)
        firewall.start()
        try:
            with site.flood() if flood else nullcontext():
                yield
            firewall.stop()
        finally:
            firewall.kill()

    return stand


KERNEL = Row("kernel", "kernel forwarding", _kernel())
CONNTRACK = Row("conntrack", "kernel, nftables conntrack", _kernel(_CONNTRACK))
ACCEPT_NATIVE = Row("accept-native", "accept all, in C", _accepting("native"))
ACCEPT_REWRITE = Row("accept-rewrite", "accept all, in C, rewritten", _accepting("rewrite"))
ACCEPT_PACKAGE = Row(
    "accept-netfilterqueue", "accept all, NetfilterQueue", _accepting("netfilterqueue")
)
NATIVE = Row("native", "Sixtuple, 100 rules", _sixtuple(_Firewall, 100))
NATIVE_SOFTWARE = Row(
    "native-offload-off",
    "Sixtuple, offload off",
    _sixtuple(_Firewall, 100, offload=False),
)
NATIVE_NAT = Row("native-nat", "Sixtuple, source NAT", _sixtuple(_Firewall, 100, nat=True))
NATIVE_10000 = Row(
    "native-10000", "Sixtuple, 10,000 rules", _sixtuple(_Firewall, 10_000), (NEW_CONNECTIONS,)
)
COOKIES = Row(
    "native-cookies",
    "Sixtuple, SYN cookies",
    _sixtuple(_Firewall, 100, cookies=True),
    UNDER_FLOOD,
)
FLOODED = Row(
    "native-flood",
    "Sixtuple, SYN cookies, SYN flood",
    _sixtuple(_Firewall, 100, cookies=True, flood=True),
    UNDER_FLOOD,
)
PACKAGE = Row(
    "netfilterqueue", "Sixtuple over NetfilterQueue", _sixtuple(_FirewallOverPackage, 100)
)
ROWS = (
    KERNEL,
    CONNTRACK,
    ACCEPT_NATIVE,
    ACCEPT_REWRITE,
    ACCEPT_PACKAGE,
    NATIVE,
    NATIVE_SOFTWARE,
    NATIVE_NAT,
    NATIVE_10000,
    COOKIES,
    FLOODED,
    PACKAGE,
)
