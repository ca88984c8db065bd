"""The error of a detector that cannot be built, loaded or used."""


class DetectorError(ValueError):
    """A config, a checkpoint or a setting does not make a detector; says what and the mend."""
