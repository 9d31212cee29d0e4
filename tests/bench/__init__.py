"""The benchmark: what the firewall costs, side by side with what it could cost. It judges nothing.

`make bench`, or `python -m tests.bench --help`. Client, firewall and server share one machine and
its CPUs, so a figure means little alone: read the ratios of one run. A run goes round by round;
within a round each row gets its turn in the firewall's namespace and is measured for every column,
so that whatever else the machine does falls on all of them; what that was is said at the end.

__main__.py   arguments, progress, the order of things
site.py       the lab with server and clients for the load; its firewall host, cleared between rows
rows.py       what stands in the middle: kernel, accept-everything programs, Sixtuple
columns.py    what is measured, and the figures it gives
rules.py      configurations with many rules
report.py     medians, ratios, noise; the tables and the JSON
parser.py     the parser from memory, by native/tests/bench_packet.c
engine.py     the C engine from memory, by native/tests/bench_engine.c
engine_rate.py   the engine from memory through its Python face; a program of its own
accept.py     runs inside: accepts every packet of the queue
load.c        runs inside: the traffic
"""
