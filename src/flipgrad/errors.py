"""What flipgrad raises when the input, not the code, is at fault."""


class InputError(ValueError):
    """An argument, a file or a data set that cannot be used.

    The message is one line: what, where, what was expected, what came, what to do.  The command line
    prints it and exits with code 2; in Python it is an ordinary ``ValueError``.
    """
