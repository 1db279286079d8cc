"""Text that comes from outside (servers, commands, file names, the environment), made safe to show to a person.

Shown as it comes, a carriage return forges a log line, an escape sequence clears the screen, a bidirectional override
turns a name around, and the password of a URL is there for whoever reads the log. So what is foreign goes through here
before it is shown.
"""

import re
import unicodedata

from kala.core.limits import MESSAGE

# Control, format (bidirectional and zero-width), surrogate, private and unassigned characters, and the two separators
# that end a line (Unicode 16, chapter 4.5).
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Of these, what nobody writes into a name on purpose. Private and unassigned characters can be of a newer Unicode.
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
# A login up to its colon (RFC 3986, section 3.2.1). As part of a path, a URL has lost one of its slashes; in the path
# of another URL, they are escaped, and the next escaped one ends it. So no match goes on into where another can begin:
# a search from each place up to the end would take quadratic time.
_USER = r"(?://|:/)[^/?#:@\s\[]*:"
_ESCAPED_USER = r"%2[Ff]%2[Ff](?:(?!%2[Ff])[^/?#:@\s\[])*:"
_LOGIN = re.compile(rf"({_USER})[^/?#\s]*@|({_ESCAPED_USER})(?:(?!%2[Ff])[^/?#\s])*@")
# The same, where a character that ends the login in a URL, such as `/`, follows unescaped: no port.
_ODD_LOGIN = re.compile(rf"(?:{_USER}|{_ESCAPED_USER})(?!\d*[/?#\s]|\*\*\*@)")


def presentable(text: str, limit: int = MESSAGE) -> str:
    """Return `text` on one line of at most `limit` characters, with what a terminal would act on escaped.

    The passwords of URLs are left out of it.
    """
    if "@" in text:
        text = masked(text)
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    # Escaping makes a text longer, never shorter: what is beyond the limit need not be looked at.
    safe = "".join(_escaped(one) for one in text[: limit + 1])
    return safe if len(safe) <= limit else f"{safe[: limit - 1]}…"


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode("ascii")


def masked(text: str) -> str:
    """Return `text`, a URL or what has some in it, without the passwords of their logins."""
    text = _LOGIN.sub(r"\1\2***@", text)
    last = text.rfind("@")
    if odd := _ODD_LOGIN.search(text, 0, last + 1):
        return f"{text[: odd.end()]}***{text[last:]}"
    return text


def is_plain_line(text: str) -> bool:
    """Whether `text` is one line in which everything can be seen: no control, bidirectional or zero-width character."""
    if text.isascii() and text.isprintable():
        return True
    return not any(unicodedata.category(one) in _HIDDEN for one in text)
