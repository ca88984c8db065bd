"""A gallery on disk: images added, indexed and searched."""
