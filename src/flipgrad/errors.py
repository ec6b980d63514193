"""What flipgrad raises when the input, not the code, is at fault."""


class InputError(ValueError):
    """An argument, a file or a data set that cannot be used.

    The message is one line: what, where, what was expected, what came, what to do.  The command line
    prints it and exits with code 2; in Python it is an ordinary ``ValueError``.  Line breaks, such as those of an
    array that the message shows, become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(line.strip() for line in message.splitlines()))
