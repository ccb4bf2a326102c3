"""Fixtures of every tier; see `services`."""

pytest_plugins = ["tests.services", "tests.pipeline", "tests.integration.ingest_service"]
