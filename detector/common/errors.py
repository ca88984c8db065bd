"""The base error of the part detector."""


class DetectorError(ValueError):
    """A detector cannot be built, loaded or used; the message says why and how to fix it."""
