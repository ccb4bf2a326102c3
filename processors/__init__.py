"""Kafka in, Postgres out. Each event is counted once in every roll-up, or lies in dead letters with a reason."""
