"""Record -> Event, pure. Runs in the processors, so that a replay after a fix repairs what was derived."""
