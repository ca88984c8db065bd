"""The errors of visualization."""


class VisualizationError(ValueError):
    """Results that cannot be shown, or not together."""
