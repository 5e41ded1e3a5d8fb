"""Handlers in processes of their own: what the host and such a process have in common, and the process's side.

``place`` says where the process finds the handler, ``wire`` is what the two say to each other, ``child`` is the
process. It imports the model and nothing else of the host, so that it starts fast. The host's side is
``kernel.isolated``.
"""
