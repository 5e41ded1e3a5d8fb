"""The kernel: registry, event log, executor, lanes and long-running parts, all owned by one loop."""
