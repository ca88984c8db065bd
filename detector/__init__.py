"""Part detector and part cache.

This package itself imports neither mmdet nor torch. A program that only reads a part cache imports
`detector.cache` and, for images, `detector.common.images`.
"""
