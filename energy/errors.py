"""The error for a model, input or technology that cannot be accounted for."""


class EnergyError(ValueError):
    """Says what was given, what was expected and what to do."""
