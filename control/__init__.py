"""The management plane: configuration, the system underneath, the command line, the daemon."""
