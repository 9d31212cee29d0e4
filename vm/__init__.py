"""The network-namespace lab: hosts, links and real servers around a firewall, on one machine.

namespaces.py   a lab as a process tree: start it, run commands on its hosts, stop it
holder.py       process 1 inside a lab: makes hosts and links, starts the servers
topology.py     which hosts, links and addresses there are
firewall.py     the firewall inside a lab: start, ask, stop, kill
traffic.py      the traffic of the demonstration, with what is expected of it
registry.py     labs in the background, found again by name
lab.py          `sixtuple lab`
demo.py         `make run`
lab.set         the firewall's configuration for this topology
"""
