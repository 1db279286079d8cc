"""The pages that the package installs in /usr/share/doc. Needs the package, but not root."""

import re
import subprocess

import pytest


@pytest.fixture(scope="module")
def pages(deb, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deb")
    subprocess.run(["dpkg-deb", "--extract", deb, folder], check=True)
    return sorted((folder / "usr/share/doc/kala").rglob("*.md"))


def test_each_link_leads_to_a_file_that_is_installed(pages):
    assert {"README.md", "api.md", "CONTRIBUTING.md", "SECURITY.md"} <= {page.name for page in pages}
    for page in pages:
        for link in re.findall(r"\]\((?!https?:|#)(.+?)\)", page.read_text()):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"
