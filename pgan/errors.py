"""The error of a config that cannot be used."""


class ConfigError(ValueError):
    """A config cannot be used; the message names the file or key and how to fix it."""
