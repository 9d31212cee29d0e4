"""The lab: hosts, links and real servers around a firewall that is a namespace or a machine."""
