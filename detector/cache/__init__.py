"""The part cache: boxes of parts for every image, from one pass of the detector, served for any D.

NumPy is the only third-party dependency of what this package exports.
"""

from detector.cache.layout import CacheError
from detector.cache.parts import Parts
from detector.cache.reader import PartCache

__all__ = ["CacheError", "PartCache", "Parts"]
