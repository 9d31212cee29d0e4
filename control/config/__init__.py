"""The configuration: its schema, its tree, its text form, its checks, and what the dataplane gets.

    text --set_syntax--> tree --validate--> problems
                           |
                           +--compile--> dataplane.snapshot.Snapshot

`load.py` walks the first line, `compile.py` the second. Everything that has to know an element's
name or what its value may be asks `schema.py`.
"""
