"""What happens to the first packet of a session: one stage, one file."""
