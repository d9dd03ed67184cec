"""What is wrong with what a person gave."""


class InvalidInputError(Exception):
    """What is wrong, where, and what to write there."""
