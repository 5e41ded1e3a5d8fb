"""The shell: a client of a host, for a person at a terminal. ``plugin`` has the hooks, ``shell`` joins the parts."""
