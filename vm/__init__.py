"""The network-namespace lab: hosts, links and real servers around a firewall, on one machine."""
