"""A diary of what plants need."""
