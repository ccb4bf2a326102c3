"""Why the samples could not be logged or seen."""


class SamplesFailed(Exception):
    """The samples were not logged or did not show up; the text says what to look at."""
