"""What evaluation refuses."""


class RankingError(ValueError):
    """Features, distances, labels or a protocol that make no ranking; the message says how to mend it."""
