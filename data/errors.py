"""The error that every reader raises for input a user can mend."""


class RecordingError(ValueError):
    """A recording, calibration or event array that cannot be used.

    The message says in one paragraph what was given, what was expected and what to do.
    The command line prints it and exits with code 2; it never shows a traceback for it.
    """
