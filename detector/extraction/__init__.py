"""Run a trained part detector over images and write a part cache.

`detector.extraction.loading` builds the detector, `detector.extraction.extractor` runs it, and
`detector.extraction.work_split` divides the images among processes. Importing the package loads none of these
modules.
"""
