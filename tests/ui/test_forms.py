"""What forms send."""

import pytest

from kala.core.errors import Invalid
from kala.ui.forms import Form, wrong_field


def test_a_form_has_the_values_of_its_fields():
    form = Form(b"name=caf%C3%A9+au+lait&tag=a&tag=b&empty=")
    assert (form.get("name"), form.get("tag"), form.get("empty"), form.get("missing")) == ("café au lait", "a", "", "")
    assert (form.all("tag"), form.all("missing")) == (["a", "b"], [])


def test_line_breaks_are_those_of_unix():
    assert Form(b"command=a%0D%0Ab%0D%0A").get("command") == "a\nb\n"


@pytest.mark.parametrize("body", [b"\xff", b"a=%FF", b"&".join([b"a=1"] * 20_001)], ids=["binary", "UTF-8", "many"])
def test_what_no_form_sends_is_refused(body):
    with pytest.raises(Invalid, match="body: not a form that this page sends"):
        Form(body)


@pytest.mark.parametrize("path", ["/jobs", "/jobs?q=a&sort=-name"])
def test_a_form_leads_back_to_a_page(path):
    assert Form(b"").back == ""
    assert Form(b"back=" + path.replace("&", "%26").encode()).back == path


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "a",
        "/a%0D%0AX: 1",
        "/%C3%A9",
    ],
)
def test_a_form_leads_to_no_other_site(path):
    assert Form(b"back=" + path.encode()).back == ""


@pytest.mark.parametrize(
    ("sentence", "field"),
    [
        ("name: required", "name"),
        ("owners[2]: too long", "owners"),
        ("role: unknown", ""),
        ("name is wrong", ""),
        ("", ""),
    ],
)
def test_an_error_names_the_field_that_is_wrong(sentence, field):
    assert wrong_field(sentence, ("name", "owners")) == field
