"""Sample workload: realistic sessions, logged through the public endpoints like any client's."""
