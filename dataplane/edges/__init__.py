"""Where packets come from and verdicts go: the places that read a clock and touch the outside."""

NAMES = ("native", "netfilterqueue")  # of the queue's edges, as --io spells them; the default first
