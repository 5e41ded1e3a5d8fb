"""Who did what, provably: a chained, signed record of commands before they take effect."""
