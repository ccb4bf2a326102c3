"""HTTP in, Kafka out. A 2xx means that every in-sync replica of the broker has the events."""
