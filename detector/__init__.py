"""Where might the parts be? The part detector (mmdet) and the part cache that it fills.

Importing this package imports neither mmdet nor torch: `detector.cache`, `detector.images` and
`detector.attributes` serve those who only read a cache.
"""
