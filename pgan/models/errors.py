"""The one exception that models raise about what they were given."""


class ModelError(ValueError):
    """A model's config, its weights or its inputs do not fit; the message says what to change."""
