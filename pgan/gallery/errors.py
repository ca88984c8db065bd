"""What a gallery refuses."""


class GalleryError(ValueError):
    """A gallery, an image or a word of a search that cannot be used; the message says how to mend it."""
