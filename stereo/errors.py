"""The error that the product raises for input a user can mend."""


class StereoError(ValueError):
    """A network, option, run folder or output folder that cannot be used.

    The message says in one paragraph what was given, what was expected and what to do.
    The command line prints it and exits with code 2; it never shows a traceback for it.
    """
