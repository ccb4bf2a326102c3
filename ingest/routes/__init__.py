"""One module a wire format; each turns a body into records and says what became of every event."""
