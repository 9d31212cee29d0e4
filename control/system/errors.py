"""How the files of this room say that the kernel does not do what the firewall needs."""


class KernelError(Exception):
    """The message is one line for the administrator."""
