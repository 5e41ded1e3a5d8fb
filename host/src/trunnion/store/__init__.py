"""Durable storage: four verbs (accept, start, append, finish) in atomic batches, and readers of history."""
