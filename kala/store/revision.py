"""The number of a transaction, which each job has that it changed."""


class Revision:
    """Belongs to the writing connection. A transaction has a higher number than any before, also after a restart.

    So jobs are the same as before if there are as many, and the highest number of theirs is the same.
    """

    # The database counts how often it was opened, and each opening has this many numbers.
    _PER_START = 2**40

    def __init__(self) -> None:
        self.number = 0

    def start(self, starts: int) -> None:
        """Continue after all numbers of earlier openings; `starts` is how many openings there were, with this one."""
        self.number = starts * self._PER_START

    def advance(self) -> None:
        """Begin a transaction."""
        self.number += 1
