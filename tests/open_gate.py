"""A gate for tests of what lies behind it: it knows nobody, and lets everybody in whose route needs no role."""

from kala.core.caller import NOBODY


class OpenGate:
    generation = 0

    def identify(self, environ, headers, *, counts=True):
        return NOBODY

    def refused(self, caller, method, path, sentence):
        raise AssertionError(sentence)
