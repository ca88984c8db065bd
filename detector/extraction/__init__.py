"""Images in, part cache out."""
