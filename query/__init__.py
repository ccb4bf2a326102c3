"""Postgres out to people: bounded rows, bounded time, and it says how fresh the answer is."""
