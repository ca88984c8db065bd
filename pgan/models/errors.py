"""The error that all models raise for invalid configs, weights and inputs."""


class ModelError(ValueError):
    """A model's config, weights or inputs are invalid; the message says how to fix it."""
