"""`sixtuple replay`: captures through the engine of the firewall, in the captures' own time."""
