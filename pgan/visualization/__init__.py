"""Show results: panels of images, plots, and HTML pages."""
