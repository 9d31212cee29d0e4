"""`sixtuple replay`: what it takes, what it says of what it cannot take, and what comes out."""

import gzip
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP
from scapy.utils import PcapNgWriter

from control import main as command_line
from tests.native.test_capture import read_all
from tests.parity.reference import COOKED, COOKED2, ETHERNET, NULL, RAW_IP, frame
from tests.support.captures import conversations, write
from tests.support.packets import CLIENT, FAMILIES, NS, SERVER, tcp, udp
from tests.support.replays import START_S, capture, config, records

SOFTWARE = ("--platform", "software")

Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs the command with these arguments: status, standard output, standard error."""

    def call(*arguments: str | Path) -> tuple[int, bytes, str]:
        try:
            status = command_line.main(["replay", *map(str, arguments)])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsysbinary.readouterr()
        return status, out, err.decode()

    return call


def good(outcome: tuple[int, bytes, str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    status, out, err = outcome
    assert (status, err) == (0, "")
    return records(out)


def question(family: int = 4, *, payload: int = 5) -> list[tuple[float, bytes]]:
    """A question asked twice and answered once."""
    ask = udp(family, payload=bytes(payload))
    return [(0, ask), (1.5, udp(family, back=True, payload=bytes(2 * payload))), (3, ask)]


# ---- the contract --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_fields_of_json(run: Run, tmp_path: Path, family: int) -> None:
    header = {4: 28, 6: 48}[family]
    path = capture(tmp_path / "a.pcap", question(family))
    entries, summary = good(run(path, "--config", config(tmp_path), *SOFTWARE, "--json"))
    assert entries == [
        {
            "record": "traffic",
            "subtype": "end",
            "sessionid": 1,
            "start": "2023/11/14 22:13:20",
            "time_generated": "2023/11/14 22:13:53",
            "elapsed": 33,
            "src": CLIENT[family],
            "dst": SERVER[family],
            "natsrc": {4: "0.0.0.0", 6: "::"}[family],
            "natdst": {4: "0.0.0.0", 6: "::"}[family],
            "sport": 40002,
            "dport": 53,
            "natsport": 0,
            "natdport": 0,
            "proto": "udp",
            "from": "trust",
            "to": "untrust",
            "inbound_if": "ethernet1/1",
            "outbound_if": "ethernet1/2",
            "app": entries[0]["app"],
            "rule": "out",
            "action": "allow",
            "bytes": 3 * header + 20,
            "bytes_sent": 2 * header + 10,
            "bytes_received": header + 10,
            "packets": 3,
            "pkts_sent": 2,
            "pkts_received": 1,
            "session_end_reason": "aged-out",
            "tracker_stage": "Aged out",
            "offloaded": 0,
            "srcuser": "",
            "category": "any",
            "parent_session_id": 0,
        }
    ]
    assert entries[0]["app"]
    counters = summary.pop("counters")
    assert summary == {
        "record": "summary",
        "packets": 3,
        "forwarded": 3,
        "dropped": 0,
        "sessions": 1,
    }
    assert (counters["pkt_recv"], counters["pkt_sent"], counters["session_freed"]) == (3, 3, 1)
    assert counters["flow_policy_deny"] == 0  # whoever asks for a counter finds it


def test_what_is_denied_is_logged_as_it_happens(run: Run, tmp_path: Path) -> None:
    denied = tcp("S", src="203.0.113.30")
    frames = [*question(), (0.5, denied), (100, denied)]
    path = capture(tmp_path / "a.pcap", sorted(frames))
    lines = "set deviceconfig setting session discard-denied no"
    for extra, sessions in (("", 3), (lines, 1)):
        name = config(tmp_path, extra)
        entries, summary = good(run(path, "--config", name, *SOFTWARE, "--json"))
        assert [(entry["subtype"], entry["rule"]) for entry in entries] == [
            ("drop", "interzone-default"),
            ("end", "out"),
            ("drop", "interzone-default"),
        ]
        assert [entry["time_generated"][-2:] for entry in entries] == ["20", "53", "00"]
        assert (summary["sessions"], summary["dropped"], summary["forwarded"]) == (sessions, 2, 3)


# ---- where packets come from ---------------------------------------------------------------------


@pytest.mark.parametrize("link", [RAW_IP, ETHERNET, COOKED, COOKED2, NULL])
def test_link_types(run: Run, tmp_path: Path, link: int) -> None:
    packets = sorted((at, packet) for family in FAMILIES for at, packet in question(family))
    wanted = run(capture(tmp_path / "a.pcap", packets), "--config", config(tmp_path), "--json")
    framed = [(at, frame(packet, link)) for at, packet in packets]
    path = capture(tmp_path / "b.pcap", framed, link)
    assert run(path, "--config", config(tmp_path), "--json") == wanted
    assert len(good(wanted)[0]) == 2


def test_pcapng(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    with PcapNgWriter(str(path)) as writer:
        for at_s, data in question():
            packet = IP(data)
            packet.time = START_S + at_s
            writer.write(packet)
    wanted = run(capture(tmp_path / "a.pcap", question()), "--config", config(tmp_path), "--json")
    assert run(path, "--config", config(tmp_path), "--json") == wanted
    assert good(wanted)[1]["forwarded"] == 3


def test_a_packet_comes_in_where_its_source_is(run: Run, tmp_path: Path) -> None:
    """Behind a route, on a connected network, of either family; the ends of a session differ."""
    frames = [
        (0, udp(src="10.9.9.9")),
        (1, udp(src="192.0.2.77", dst="203.0.113.30")),
        (2, udp(6)),
        (3, udp(src="203.0.113.30")),
        (4, udp(6, back=True)),
    ]
    lines = (
        "set rulebase security rules all from any to any source any destination any",
        "set rulebase security rules all application any service any action allow",
    )
    path = capture(tmp_path / "a.pcap", frames)
    entries, _ = good(run(path, "--config", config(tmp_path, *lines), "--json"))
    ports = {e["src"]: (e["inbound_if"], e["outbound_if"], e["pkts_received"]) for e in entries}
    assert ports == {
        "10.9.9.9": ("ethernet1/1", "ethernet1/2", 0),
        "192.0.2.77": ("ethernet1/1", "ethernet2/3", 0),
        "2001:db8:1::10": ("ethernet1/1", "ethernet1/2", 1),
        "203.0.113.30": ("ethernet2/3", "ethernet1/2", 0),
    }


@pytest.mark.parametrize("first", ["ethernet1/1", "ethernet1/2"])
def test_one_capture_per_port(run: Run, tmp_path: Path, first: str) -> None:
    """Merged by time; of two at the same time the port named first goes first."""
    one, two = question()[::2], question()[1:2]
    both = {
        "ethernet1/1": capture(tmp_path / "1.pcap", one),
        "ethernet1/2": capture(tmp_path / "2.pcap", [(0, udp(back=True)), *two]),
    }
    ordered = [first, *(port for port in both if port != first)]
    ports = [word for port in ordered for word in ("--port", f"{port}={both[port]}")]
    entries, summary = good(run(*ports, "--config", config(tmp_path), "--json"))
    subtypes = {"ethernet1/1": ["end"], "ethernet1/2": ["drop", "end"]}
    assert [entry["subtype"] for entry in entries] == subtypes[first]
    assert summary["packets"] == 4
    assert entries[-1]["packets"] == (4 if first == "ethernet1/1" else 3)


# ---- until ---------------------------------------------------------------------------------------

UNTIL = [
    # seconds, packets, entries, sessions alive
    ("0", 1, 0, 1),
    ("1.499999999", 1, 0, 1),
    ("1.5", 2, 0, 1),
    ("3", 3, 0, 1),
    ("32.999999999", 3, 0, 1),
    ("33", 3, 1, 0),
    ("40", 3, 1, 1),
    ("999999999", 4, 2, 0),
]


@pytest.mark.parametrize(("until", "packets", "ended", "alive"), UNTIL)
def test_until(run: Run, tmp_path: Path, until: str, packets: int, ended: int, alive: int) -> None:
    frames = [*question(), (40, udp(sport=7))]
    path = capture(tmp_path / "a.pcap", frames)
    arguments = (path, "--config", config(tmp_path), *SOFTWARE, "--until", until)
    packets += until == "40"
    status, out, err = run(*arguments, "--json")
    entries, summary = records(out)
    assert (status, summary["packets"], len(entries)) == (0, packets, ended)
    assert summary["sessions"] - summary["counters"]["session_freed"] == alive
    line = "1 session still alive\n" if alive else ""
    assert err == line
    _, table, err = run(*arguments)
    assert table.decode().count(" alive  ") == alive
    assert err == ""


# ---- what leaves ---------------------------------------------------------------------------------


def test_what_leaves_is_written_by_port(run: Run, tmp_path: Path) -> None:
    reset = "set rulebase security rules no from dmz to untrust source any destination any"
    lines = (reset, f"{reset.partition(' from')[0]} application any service any action reset-both")
    syn = tcp("S", src="203.0.113.30")
    frames = [*question(), (4, syn)]
    path, out = capture(tmp_path / "a.pcap", frames), tmp_path / "some" / "where"
    for _ in range(2):  # the second finds what the first has left
        good(run(path, "--config", config(tmp_path, *lines), "--json", "--capture-dir", out))
        found = {path.name: read_all(path) for path in out.iterdir()}
        shown = {
            name: [((p.now_ns - START_S * NS) / NS, p.data) for p in packets]
            for name, packets in found.items()
        }
        ((at_s, answer),) = shown.pop("ethernet2_3.pcap")
        assert shown == {"ethernet1_2.pcap": frames[:3:2], "ethernet1_1.pcap": frames[1:2]}
        assert at_s == 4
        assert IP(answer).payload.flags == "RA"
        found["left over from an earlier run"] = []
        path.rename(tmp_path / "a.pcap")


def test_a_full_disk(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "ethernet1_2.pcap").symlink_to("/dev/full")
    path = capture(tmp_path / "a.pcap", question())
    status, _, err = run(path, "--config", config(tmp_path), "--json", "--capture-dir", out)
    assert (status, err) == (2, f"{out}/ethernet1_2.pcap: not everything could be written\n")
    assert len(read_all(out / "ethernet1_1.pcap")) == 1


# ---- a table for people --------------------------------------------------------------------------


FLOOD = (
    "set network profiles zone-protection-profile zp flood udp enable yes",
    "set network profiles zone-protection-profile zp flood udp red alarm-rate 2",
    "set network profiles zone-protection-profile zp flood udp red activate-rate 100",
    "set network profiles zone-protection-profile zp scan 8001 action block",
    "set network profiles zone-protection-profile zp scan 8001 threshold 2",
    "set network profiles zone-protection-profile zp scan 8001 interval 2",
    "set zone trust network zone-protection-profile zp",
)


def attack(path: Path) -> Path:
    """Four questions at once, and a scan of three ports."""
    questions = [(0.0, udp(sport=1000 + number)) for number in range(4)]
    return capture(path, [*questions, *((1, tcp("S", dport=port)) for port in (80, 81, 82))])


def test_threats_are_json_lines_too(run: Run, tmp_path: Path) -> None:
    path = attack(tmp_path / "a.pcap")
    entries, _ = good(run(path, "--config", config(tmp_path, *FLOOD), *SOFTWARE, "--json"))
    told = [
        tuple(entry[name] for name in ("threatid", "action", "reason", "from", "repeatcnt"))
        for entry in entries
        if entry["record"] == "threat"
    ]
    # of each at once the first, and what came within the second after it
    flood, scan = ("UDP Flood(8502)", "alert", ""), ("SCAN: TCP Port Scan(8001)", "drop")
    assert sorted(told) == [
        (*scan, "flow_scan_drop", "trust", 1),
        (*scan, "flow_scan_drop", "trust", 1),
        (*flood, "trust", 1),
        (*flood, "trust", 2),
    ]


def test_the_table_counts_threats(run: Run, tmp_path: Path) -> None:
    path = attack(tmp_path / "a.pcap")
    _, out, _ = run(path, "--config", config(tmp_path, *FLOOD), *SOFTWARE)
    _, _, tail = out.decode().partition("4 threats\n")
    assert tail.splitlines()[:2] == [
        "              2  SCAN: TCP Port Scan(8001): drop",
        "              2  UDP Flood(8502): alert",
    ]


def test_an_explanation_names_threats(run: Run, tmp_path: Path) -> None:
    path = attack(tmp_path / "a.pcap")
    _, out, _ = run(path, "--config", config(tmp_path, *FLOOD), *SOFTWARE, "--explain")
    told = [line.split(maxsplit=2)[2] for line in out.decode().splitlines() if "threat log" in line]
    assert told == [
        "UDP Flood(8502) of zone trust: alert",
        "UDP Flood(8502) of zone trust: alert",
        "SCAN: TCP Port Scan(8001) of zone trust: drop, flow_scan_drop",
    ]
    assert "drop, flow_scan_drop: reconnaissance protection" in out.decode()
    assert "4 threats\n" in out.decode()


def test_an_answered_segment_is_neither_forwarded_nor_dropped(run: Run, tmp_path: Path) -> None:
    lines = (
        "set network profiles zone-protection-profile zp flood tcp-syn enable yes",
        "set network profiles zone-protection-profile zp flood tcp-syn syn-cookies alarm-rate 1",
        "set zone trust network zone-protection-profile zp",
    )
    path = capture(tmp_path / "a.pcap", [(0, tcp("S"))])
    _, out, _ = run(path, "--config", config(tmp_path, *lines), *SOFTWARE)
    assert out.decode().splitlines()[1:7] == [
        "              0  forwarded",
        "              1  answered by the firewall, or sent on in another form",
        "              1  sent by the firewall itself",
        "              0  dropped",
        "1 threat",
        "              1  TCP Flood(8501): syncookie-sent",
    ]


def test_table(run: Run, tmp_path: Path) -> None:
    frames = [*question(), (4, tcp("S", src="203.0.113.30")), (5, tcp("A")), (6, b"not IP")]
    path = capture(tmp_path / "a.pcap", frames)
    status, out, err = run(path, "--config", config(tmp_path), "--platform", "software")
    header, drop, end, blank, *summary = out.decode().splitlines()
    assert (status, err, blank) == (0, "", "")
    assert re.split(r"\s{2,}", header) == [
        *("Time (UTC)", "Type", "Session", "Elapsed/s", "Packets", "Bytes", "Offload"),
        *("End reason", "Application", "Rule", "Flow"),
    ]
    assert re.split(r"\s{2,}", drop)[:2] == ["2023/11/14 22:13:24", "drop"]
    assert drop.endswith("tcp dmz 203.0.113.30[40001] -> untrust 198.51.100.20[80]")
    cells = re.split(r"\s{2,}", end)
    assert cells[:8] == ["2023/11/14 22:13:53", "end", "1", "33", "3", "104", "no", "aged-out"]
    assert cells[9:] == ["out", "udp trust 192.0.2.10[40002] -> untrust 198.51.100.20[53]"]
    assert [" ".join(line.split()) for line in summary] == [
        "6 packets in 0:00:06 of capture time, platform software",
        "3 forwarded",
        "3 dropped",
        "1 flow_parse_ip_hdr: Packets dropped: IP header truncated or malformed",
        "1 flow_tcp_non_syn_drop: Packets dropped: non-SYN TCP without session match",
        "1 flow_policy_deny: Session setup: denied by policy",
        "2 sessions",
        "1 aged-out",
        "1 policy-deny",
    ]


@pytest.mark.parametrize(
    ("until", "last"), [("99999", "--json prints all of them"), ("0.01", "more alive")]
)
def test_a_long_table_ends(run: Run, tmp_path: Path, until: str, last: str) -> None:
    path = write(tmp_path / "a.pcap", conversations(3000, 500))
    _, out, _ = run(path, "--config", config(tmp_path), "--until", until)
    table, _, summary = out.decode().partition("\n\n")
    _, *rows, note = table.splitlines()
    assert len(rows) == 200
    assert note.startswith("300 ")
    assert note.endswith(last)
    assert "500 sessions\n" in summary


# ---- odd captures --------------------------------------------------------------------------------

STRANGER = udp(src="172.16.0.9")


def damaged(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-3])
    return path


def cut(path: Path) -> Path:
    """The last packet was longer on the wire."""
    content = bytearray(path.read_bytes())
    at = len(content) - len(question()[-1][1]) - 4
    content[at : at + 4] = (2000).to_bytes(4, "little")
    path.write_bytes(content)
    return path


ODD = [
    pytest.param(
        [(0, udp()), (2, udp()), (1, udp()), (1, udp())],
        lambda path: path,
        "2 packets not in order: taken as late as those before",
        4,
        id="not in order",
    ),
    pytest.param(
        question(),
        cut,
        "1 packet cut short by the capture",
        3,
        id="cut",
    ),
    pytest.param(
        [(0, udp()), (1, STRANGER), (2, STRANGER)],
        lambda path: path,
        "2 packets from sources no route leads to, such as 172.16.0.9: dropped as "
        "flow_no_interface; a route or --port would say where they come in",
        1,
        id="strangers",
    ),
    pytest.param(
        question(),
        damaged,
        "{path}: truncated dump file; tried to read 33 captured bytes, only got 30; "
        "read up to byte 173 of 173",
        2,
        id="damaged",
    ),
]


@pytest.mark.parametrize(("frames", "change", "line", "forwarded"), ODD)
def test_oddities_are_a_line(
    run: Run,
    tmp_path: Path,
    frames: Sequence[tuple[float, bytes]],
    change: Callable[[Path], Path],
    line: str,
    forwarded: int,
) -> None:
    path = change(capture(tmp_path / "a.pcap", frames))
    for more in ([], ["--json"]):
        status, out, err = run(path, "--config", config(tmp_path), *more)
        assert (status, err) == (0, line.format(path=path) + "\n")
    assert records(out)[1]["forwarded"] == forwarded


def test_one_of_two_captures_is_used(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "b.pcap"
    text.write_text("this is no capture at all, it is a text")
    path = capture(tmp_path / "a.pcap", question()[::2])
    ports = ("--port", f"ethernet1/2={text}", "--port", f"ethernet1/1={path}")
    status, out, err = run(*ports, "--config", config(tmp_path), "--json")
    assert (status, err) == (0, f"{text}: unknown file format\n")
    assert records(out)[1]["forwarded"] == 2


# ---- what cannot be replayed ---------------------------------------------------------------------


def wrong_files(folder: Path) -> dict[str, Path]:
    text, empty, alien = folder / "text", folder / "empty", folder / "alien"
    text.write_text("this is no capture at all, it is a text")
    empty.write_bytes(b"")
    capture(alien, [(0, b"x")], 105)
    packed = folder / "good.pcap.gz"
    packed.write_bytes(gzip.compress(b"whatever"))
    broken = folder / "broken.set"
    broken.write_text("set zone trust network layer3 ethernet1/1\n")
    return {
        "good": capture(folder / "good.pcap", question()),
        "config": config(folder),
        "none": capture(folder / "none.pcap", []),
        "text": text,
        "packed": packed,
        "empty": empty,
        "alien": alien,
        "broken": broken,
        "folder": folder,
        "missing": folder / "missing",
        "input": capture(folder / "ethernet1_1.pcap", question()),
        "back": folder.parent / folder.name,
    }


USAGE = " (see sixtuple replay --help)"
WRONG = [
    # arguments, what is said
    ("{good}", f"sixtuple replay: the following arguments are required: --config{USAGE}"),
    (
        "--config {config}",
        f"sixtuple replay: either PCAP is needed, or --port for each port{USAGE}",
    ),
    (
        "{good} --port ethernet1/1={good} --config {config}",
        f"sixtuple replay: either PCAP is needed, or --port for each port{USAGE}",
    ),
    (
        "--port ethernet1/1 --config {config}",
        "sixtuple replay: argument --port: 'ethernet1/1' is not like "
        f"ethernet1/1=capture.pcap{USAGE}",
    ),
    (
        "--port ethernet1/1={good} --port ethernet1/1={good} --config {config}",
        f"sixtuple replay: argument --port: a port is named twice{USAGE}",
    ),
    (
        "{good} --config {config} --platform pa-9",
        "sixtuple replay: argument --platform: invalid choice: 'pa-9' "
        f"(choose from 'pa-5000', 'pa-7000', 'software'){USAGE}",
    ),
    *(
        (
            f"{{good}} --config {{config}} --until={until}",
            f"sixtuple replay: argument --until: '{until}' is not a number of seconds such as "
            f"14400{USAGE}",
        )
        for until in ("soon", "-1", "1e3", "nan", "1234567890", "\u0663", "1.", "")
    ),
    (
        "--port ethernet1/9={good} --config {config}",
        "--port ethernet1/9: not configured; configured are ethernet1/1, ethernet1/2, ethernet2/3",
    ),
    ("{missing} --config {config}", "{missing}: cannot be read: No such file or directory"),
    (
        "--port ethernet1/1={good} --port ethernet1/2={missing} --config {config}",
        "{missing}: cannot be read: No such file or directory",
    ),
    ("{folder} --config {config}", "{folder}: error reading dump file: Is a directory"),
    ("{text} --config {config}", "{text}: unknown file format"),
    ("{packed} --config {config}", "{packed}: unknown file format; unpack it first"),
    (
        "{good} --config {config} --compare software --platform software",
        "sixtuple replay: --platform goes without --compare and --plot: --compare names "
        f"platforms{USAGE}",
    ),
    (
        "{good} --config {config} --plot {text}.pdf",
        f"sixtuple replay: argument --plot: '{{text}}.pdf' is not like plot.png{USAGE}",
    ),
    (
        "--port ethernet1/1=- --port ethernet1/2=- --config {config}",
        f"sixtuple replay: argument --port: the standard input is one capture, for one port{USAGE}",
    ),
    (
        "{empty} --config {config}",
        "{empty}: truncated dump file; tried to read 4 file header bytes, only got 0",
    ),
    (
        "{alien} --config {config}",
        "{alien}: link type IEEE802_11 is not supported: Ethernet, raw IP, Linux cooked or null is",
    ),
    ("{none} --config {config}", "there is no packet to replay"),
    ("{good} --config {missing}", "{missing}: cannot be read: No such file or directory"),
    (
        "{good} --config {broken}",
        '{broken}:1: error: zone trust network layer3: interface "ethernet1/1" does not exist; '
        "right is a configured interface",
    ),
    (
        "{good} --config {config} --capture-dir {text}",
        "--capture-dir {text}: cannot be made: File exists",
    ),
    (
        "{input} --config {config} --capture-dir {back}",
        "--capture-dir: {folder}/ethernet1_1.pcap is a capture to be read",
    ),
]


@pytest.mark.parametrize(("arguments", "line"), WRONG)
def test_what_cannot_be_replayed_is_one_line(
    run: Run, tmp_path: Path, arguments: str, line: str
) -> None:
    files = wrong_files(tmp_path)
    before = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    outcome = run(*(word.format(**files) for word in arguments.split(" ")))
    assert outcome == (2, b"", line.format(**files) + "\n")
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == before


def test_a_plot_without_matplotlib_names_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path, picture = capture(tmp_path / "a.pcap", question()), tmp_path / "a.png"
    status, out, err = run(path, "--config", config(tmp_path), "--plot", picture)
    assert (status, out) == (2, b"")
    assert err.startswith(f"--plot {picture}: matplotlib is not installed")
    assert err.count("\n") == 1
    assert "python3-matplotlib" in err


def test_every_error_of_a_configuration_is_said(run: Run, tmp_path: Path) -> None:
    path = capture(tmp_path / "a.pcap", question())
    wrong = config(tmp_path, "set zone x network layer3 nothing", "set colour red")
    status, out, err = run(path, "--config", wrong)
    assert (status, out) == (2, b"")
    assert all(line.startswith(f"{wrong}:") for line in err.splitlines())
    assert len(err.splitlines()) == 2


def test_what_a_configuration_cannot_do_is_said(run: Run, tmp_path: Path) -> None:
    path = capture(tmp_path / "a.pcap", question())
    where = "set network virtual-router default routing-table ip static-route b"
    lines = (
        f"{where} destination 172.16.0.0/12 interface ethernet1/1",
        f"{where} nexthop ip-address 198.51.100.7",
        "set deviceconfig system timezone UTC",
    )
    name = config(tmp_path, *lines)
    status, out, err = run(path, "--config", name, "--json")
    assert status == 0
    assert len(records(out)[0]) == 1
    assert err.splitlines() == [
        f"{name}: static route 172.16.0.0/12: next hop 198.51.100.7 is on no connected network",
        f"{name}: 1 warning; sixtuple check {name} lists them",
    ]


def test_names_are_harmless_to_a_terminal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "\x1b[2J.pcap"
    path.write_bytes(b"")
    for arguments in ((path,), ("--port", f"\x1b[2J={path}"), (f"{path}x",)):
        status, _, err = run(*arguments, "--config", config(tmp_path))
        assert status == 2
        assert "\x1b" not in err
        assert "\\x1b[2J" in err
