"""Trunnion: declare an operation once, run it from every door."""
