"""Where packets come from and verdicts go: the places that read a clock and touch the outside."""
