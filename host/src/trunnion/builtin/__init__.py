"""The host's own commands and queries, contributed through the same hooks as everybody else's."""
