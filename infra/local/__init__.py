"""Real Kafka and Postgres on this machine, from packages: no Docker, no Java, no root."""
