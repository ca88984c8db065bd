"""The error that galleries raise."""


class GalleryError(ValueError):
    """A gallery, an image or a search argument cannot be used; the message says what to do."""
