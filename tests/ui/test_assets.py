"""Style sheets, scripts and pictures: kept for ever, and found only below the digest of all of them."""

import gzip
import re

from kala.ui.assets import Assets


def sheet(api):
    return re.search(r'"(/static/\w+/kala\.css)"', api.ask("GET", "/jobs").body.decode())[1]


def test_browsers_keep_an_asset_for_ever(api):
    response = api.ask("GET", sheet(api))
    assert (response.status, response.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_an_asset_is_compressed_for_who_asks(api):
    path = sheet(api)
    plain, packed = api.ask("GET", path), api.ask("GET", path, Accept_Encoding="br, gzip")
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert {plain.headers["Vary"], packed.headers["Vary"]} == {"Accept-Encoding"}


def test_an_asset_of_another_version_is_not_found(api):
    response = api.ask("GET", "/static/0123456789abcdef/kala.css")
    assert (response.status, response.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "reload the page" in response.body.decode()


def test_no_other_file_is_reachable(api):
    folder = sheet(api).rpartition("/")[0]
    for name in (
        "../routes.py",
        "%2e%2e/site.py",
        "js",
        "js/",
        "js/../kala.css",
        "vendor/ansi_up.LICENSE",
        "kala.css%00",
    ):
        assert api.ask("GET", f"{folder}/{name}").status == 404


def test_the_digest_depends_on_each_file(tmp_path, monkeypatch):
    monkeypatch.setattr("kala.ui.assets._FOLDER", tmp_path)
    digests = set()
    for name, content in [("a.css", ""), ("a.css", "b"), ("b.css", "b"), ("js.js", "x"), ("ignored.txt", "y")]:
        (tmp_path / name).write_text(content)
        digests.add(Assets().digest)
    assert len(digests) == 4
