"""Performance beside its ceilings: ``python -m bench``.

A figure alone says little on a shared machine, so every row is a ratio measured in one run: ours beside a
ceiling, which is the same building block with no product logic, in the same process, in interleaved rounds.
"""
