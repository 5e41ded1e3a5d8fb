"""Plugins: discover, select, load and report; every call to one is contained and attributed."""
