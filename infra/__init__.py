"""What must exist before an event can: connections, topics, schema, projects and keys, local engines.

Knows Kafka, Postgres and processes; never "event" or "session".
"""
