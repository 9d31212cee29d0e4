"""The operational command line.

`grammar` knows the commands, `operations` answers them, `server` and `client` carry them over a
Unix socket, `terminal` is the prompt. The other files each draw one output.
"""
