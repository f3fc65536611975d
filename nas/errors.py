"""The error for a genotype that cannot be read or built."""


class GenotypeError(ValueError):
    """A genotype that is malformed; the message says what was given, expected, and what to do."""
