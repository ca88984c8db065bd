"""Where might the parts be? The part detector and the part cache that it fills.

This package imports neither mmdet nor torch; `detector.cache` and `detector.common.images` serve those who
only read a cache.
"""
