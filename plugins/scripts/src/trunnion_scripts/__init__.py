"""Existing programs as commands. ``plugin`` has the hooks, ``declaration`` what a script may declare."""
