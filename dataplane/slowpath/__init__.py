"""What happens to the first packet of a session: one stage, one file; pipeline.py knows the order."""
