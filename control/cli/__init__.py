"""The operational command line.

`commands` is the table of commands, of `tokens` and `arguments`; `grammar` reads lines by it and
`syntax` lists it. `operations` answers commands, `server` and `client` carry them over a Unix
socket, `terminal` is the prompt. The other files each draw one output.
"""
