"""URLs of HTTP calls: which host they name, and how they are sent."""

import pytest

from kala.core.url import Url


class TestParsing:
    @pytest.mark.parametrize(
        ("text", "place", "target"),
        [
            ("http://example.org", "http://example.org", "/"),
            ("HTTP://Example.ORG:80/A?b=C#d", "http://example.org", "/A?b=C"),
            ("https://example.org:8443?x", "https://example.org:8443", "/?x"),
            ("http://example.org:443/", "http://example.org:443", "/"),
            ("http://[2001:DB8::1]:8000/", "http://[2001:db8::1]:8000", "/"),
            ("http://[fe80::1%25eth0]/", "http://[fe80::1]", "/"),
            ("http://bücher.example/ä", "http://xn--bcher-kva.example", "/%C3%A4"),
            ("http://straße.example/", "http://xn--strae-oqa.example", "/"),
            ("http://a_b.example./", "http://a_b.example.", "/"),
            (" http://example.org/\n", "http://example.org", "/"),
        ],
    )
    def test_a_url_has_an_origin_and_a_target(self, text, place, target):
        url = Url.parse(text)
        assert (url.place, url.target) == (place, target)

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ("/a%20b?x=%zz", "/a%20b?x=%25zz"),
            ("/100%", "/100%25"),
            ('/a b"<>^`{|}\\', "/a%20b%22%3C%3E%5E%60%7B%7C%7D%5C"),
            ("/!$&'()*+,;=:@-._~/?[]", "/!$&'()*+,;=:@-._~/?[]"),
            ("/%2F%2e%e4", "/%2F%2e%e4"),
            ("/a/../b/./c//", "/a/../b/./c//"),
        ],
    )
    def test_escapes_are_kept_and_missing_ones_added(self, given, sent):
        assert Url.parse(f"http://example.org{given}").target == sent

    @pytest.mark.parametrize(
        ("userinfo", "login"),
        [
            *(
                ("u:p@", b"u:p"),
                ("u@", b"u:"),
                (":p@", b":p"),
                ("u:a:b@", b"u:a:b"),
                ("u:p%40%C3%A4@", b"u:p@\xc3\xa4"),
            ),
            *(("", b""), ("@", b""), (":@", b""), ("a@b:c@", b"a@b:c")),
        ],
    )
    def test_the_login_is_decoded_to_bytes(self, userinfo, login):
        url = Url.parse(f"http://{userinfo}example.org/")
        assert (url.login, url.host) == (login, "example.org")

    @pytest.mark.parametrize(
        "text",
        [
            *("", "x", "/x", "//example.org/", "ftp://example.org/", "http://", "http:///x", "http:example.org"),
            *(
                "http://a:0/",
                "http://a:65536/",
                "http://a:b/",
                "http://a b/",
                "http://a..b/",
                "http://.a/",
                "http://a,b/",
            ),
            *("http://[::1/", "http://[::g]/", "http://[fe80::1%25e/0]/", "http://a%2fb/", "http://\ud800/"),
            *("http://a/\0", "http://a/\r\nX: y", "http://a\tb/", f"http://{'a' * 254}/"),
        ],
    )
    def test_a_url_without_a_definite_host_is_refused(self, text):
        with pytest.raises(ValueError):
            Url.parse(text)


class TestJoining:
    @pytest.mark.parametrize(
        ("reference", "place", "target"),
        [
            ("/c", "http://example.org:81", "/c"),
            ("c?d", "http://example.org:81", "/a/c?d"),
            ("../c", "http://example.org:81", "/c"),
            ("//other.example/c", "http://other.example", "/c"),
            ("https://example.org:81/", "https://example.org:81", "/"),
            ("?x#y", "http://example.org:81", "/a/b?x"),
        ],
    )
    def test_a_reference_is_relative_to_the_url(self, reference, place, target):
        url = Url.parse("http://user:secret@example.org:81/a/b?q").join(reference)
        assert (url.place, url.target, url.login) == (place, target, b"")

    def test_a_zone_identifier_is_kept_with_the_same_host(self):
        assert Url.parse("http://[fe80::1%25eth0]/a").join("/b").host == "fe80::1%eth0"

    @pytest.mark.parametrize("reference", ["ftp://a/", "javascript:alert(1)", "http://a b/", "/x\ry", "http://a:0/"])
    def test_a_reference_that_does_not_lead_to_an_http_url_is_refused(self, reference):
        with pytest.raises(ValueError):
            Url.parse("http://example.org/").join(reference)
