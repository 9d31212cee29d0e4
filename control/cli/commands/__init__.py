"""The one table of commands, a file for each word with many commands; `table` has the whole."""
