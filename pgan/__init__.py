"""Vehicle re-identification with part-guided attention (PGAN, Zhang et al., IEEE T-ITS 2020)."""

__version__ = "0.1.0"
