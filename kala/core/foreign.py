"""Text from outside (servers, commands, file names, the environment), made safe to show to a person.

Shown unchanged, a carriage return forges a log line, an escape sequence clears the screen, a bidirectional override
reverses a name, and everyone who reads the log can read the password in a URL. So all text from outside passes through
`presentable` before it is shown.
"""

import re
import unicodedata

from kala.core.limits import MESSAGE

# Control, format (bidirectional and zero-width), surrogate, private and unassigned characters, and the two separators
# that end a line (Unicode 16, chapter 4.5).
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# The subset that nobody writes into a name on purpose. A private or unassigned character can be from a newer Unicode.
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
# A login up to its colon (RFC 3986, section 3.2.1). A URL that was normalized as a path has lost one of its slashes; in
# the path of another URL the slashes are escaped, and the next escaped slash ends the login. So no match extends to
# where another can begin: searching from each position to the end of the text would take quadratic time.
_USER = r"(?://|:/)[^/?#:@\s\[]*:"
_ESCAPED_USER = r"%2[Ff]%2[Ff](?:(?!%2[Ff])[^/?#:@\s\[])*:"
_LOGIN = re.compile(rf"({_USER})[^/?#\s]*@|({_ESCAPED_USER})(?:(?!%2[Ff])[^/?#\s])*@")
# The same if the password contains an unescaped character that ends the login in a URL, such as `/`. Not a port.
_ODD_LOGIN = re.compile(rf"(?:{_USER}|{_ESCAPED_USER})(?!\d*[/?#\s]|\*\*\*@)")


def presentable(text: str, limit: int = MESSAGE) -> str:
    """Return `text` on one line of at most `limit` characters, without the passwords of URLs.

    Characters that a terminal would act on are escaped.
    """
    if "@" in text:
        text = masked(text)
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    # Escaping never makes a text shorter, so the characters beyond the limit need not be escaped.
    safe = "".join(_escaped(character) for character in text[: limit + 1])
    return safe if len(safe) <= limit else f"{safe[: limit - 1]}…"


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode("ascii")


def masked(text: str) -> str:
    """Return `text`, a URL or a text that contains URLs, with `***` for the passwords of their logins."""
    text = _LOGIN.sub(r"\1\2***@", text)
    last = text.rfind("@")
    if odd := _ODD_LOGIN.search(text, 0, last + 1):
        return f"{text[: odd.end()]}***{text[last:]}"
    return text


def is_plain_line(text: str) -> bool:
    """Whether `text` is one line without invisible characters: no control, bidirectional or zero-width character."""
    if text.isascii() and text.isprintable():
        return True
    return not any(unicodedata.category(character) in _HIDDEN for character in text)
