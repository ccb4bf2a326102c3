"""The spool: events on disk while the broker is away, and their way out once it is back."""
