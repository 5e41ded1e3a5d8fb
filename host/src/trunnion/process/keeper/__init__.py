"""The small process that owns every program the host starts.

It runs in an interpreter of its own, without site-packages, and imports only the modules of this
folder and of the standard library's core. ``main`` is the keeper, ``minder`` the fork of it that looks
after one program and all its descendants.
"""
