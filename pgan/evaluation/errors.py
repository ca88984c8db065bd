"""The error of evaluation."""


class RankingError(ValueError):
    """Features, distances, labels or a protocol that cannot be ranked; the message says how to fix it."""
