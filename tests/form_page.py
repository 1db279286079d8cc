"""A page with a form, as a browser without JavaScript has it."""

import re
from html.parser import HTMLParser


class FormPage(HTMLParser):
    """The values of a page's form, by the names of its fields, and the text of the page."""

    def __init__(self, response) -> None:
        super().__init__()
        self.status, self.html = response.status, response.body.decode()
        self.values: dict[str, str] = {}
        self.invalid: list[str] = []
        self.choices: dict[str, list[str]] = {}
        self.open: list[bool] = []
        self._pieces: list[str] = []
        self._select = self._area = ""
        self.feed(self.html)
        self.text = re.sub(r"\s+", " ", " ".join(self._pieces))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        name = given.get("name", "")
        if given.get("aria-invalid"):
            self.invalid.append(name)
        if tag == "details":
            self.open.append("open" in given)
        if tag == "textarea":
            self._area, self.values[name] = name, ""
        elif tag == "select":
            self._select, self.choices[name] = name, []
        elif tag == "option" and self._select:
            self.choices[self._select].append(given.get("value", ""))
            if "selected" in given or self._select not in self.values:
                self.values[self._select] = given.get("value", "")
        elif tag == "input" and name and (given.get("type") not in ("checkbox", "radio") or "checked" in given):
            self.values[name] = given.get("value", "")

    def handle_endtag(self, tag):
        if tag == "textarea":
            # A browser drops the line break that follows the tag, and sends each as CR LF.
            self.values[self._area] = self.values[self._area].removeprefix("\n").replace("\n", "\r\n")
            self._area = ""
        elif tag == "select":
            self._select = ""

    def handle_data(self, data):
        if self._area:
            self.values[self._area] += data
        else:
            self._pieces.append(data)
