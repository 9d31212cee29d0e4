"""A picture of a session's time to live on several platforms, as a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from control.replay.comparison import duration
from control.replay.timeline import Timeline
from dataplane.messages import Session
from dataplane.traffic_log import protocol_name

_NS_PER_S = 1_000_000_000
_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 86_400, 604_800)
_MAX_TICKS = 10
_INK, _LINE, _DEAD = "#333333", "#1f6fb2", "#c0392b"


def write(path: Path, session: Session, packets: list[int], lines: Mapping[str, Timeline]) -> None:
    """`packets` are all of the session's, also those that came when it was dead already.

    Raises OSError where the file cannot be written.
    """
    figure = Figure(figsize=(9, 1.2 + 2 * len(lines)), layout="constrained")
    plots = figure.subplots(len(lines), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    c2s = session.c2s
    figure.suptitle(
        f"{c2s.source}[{c2s.sport}] > {c2s.destination}[{c2s.dport}]"
        f"  {protocol_name(session.protocol)}  {session.application}",
        color=_INK,
    )
    highest_s = max((left_s for line in lines.values() for _, left_s in line.points), default=1.0)
    for plot, (platform, line) in zip(plots, lines.items(), strict=True):
        _draw(plot, platform, packets, line, highest_s)
    plots[-1].set_xlabel("time since the session began", color=_INK)
    figure.savefig(path, format="png", dpi=110)


def _draw(plot: Axes, platform: str, packets: list[int], line: Timeline, highest_s: float) -> None:
    seconds = [at_ns / _NS_PER_S for at_ns, _ in line.points]
    plot.plot(seconds, [left_s for _, left_s in line.points], color=_LINE, linewidth=1)
    end_s = seconds[-1] if seconds else 0.0
    came = [at_ns / _NS_PER_S for at_ns in packets]
    ended = line.ended
    title = f"{platform}: lived"
    if ended is not None:
        title = f"{platform}: {ended.end_reason} after {duration(ended.end_ns - ended.start_ns)}"
    late = [at_s for at_s in came if at_s > end_s]
    if late:
        plot.axvline(end_s, color=_DEAD, linewidth=1)
        title += ", packets still came"
    _rug(plot, [at_s for at_s in came if at_s <= end_s], highest_s, _INK)
    _rug(plot, late, highest_s, _DEAD)
    plot.set_title(title, loc="left", fontsize=10, color=_DEAD if late else _INK)
    plot.set_ylabel("time to live, s", color=_INK)
    plot.set_ylim(-0.12 * highest_s, 1.08 * highest_s)
    longest_s = max([*seconds, *came, 1.0])
    step_s = next((step for step in _STEPS_S if longest_s / step <= _MAX_TICKS), _STEPS_S[-1])
    plot.xaxis.set_major_locator(MultipleLocator(step_s))
    plot.xaxis.set_major_formatter(
        FuncFormatter(lambda at_s, _: duration(round(at_s * _NS_PER_S)) if at_s >= 0 else "")
    )
    plot.spines[["top", "right"]].set_visible(False)
    plot.margins(x=0.01)


def _rug(plot: Axes, at_s: list[float], highest_s: float, color: str) -> None:
    """A tick for each packet, below the line."""
    plot.vlines(at_s, -0.09 * highest_s, -0.03 * highest_s, color=color, linewidth=0.7)
