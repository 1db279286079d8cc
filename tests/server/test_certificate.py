"""The files of the server's certificate and key: what is wrong with them, and how they are loaded again."""

import logging
import os
import shutil
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from samples import LOCALHOST

from kala.core.errors import Invalid
from kala.server import certificate
from kala.server.certificate import Certificate, expiry

PEMS = Path(__file__).parent / "tls"
OTHER, EXPIRED, ENCRYPTED = (PEMS / f"{name}.pem" for name in ("other", "expired", "encrypted"))


@pytest.fixture
def looks(monkeypatch):
    """Every call looks at the files, however soon it comes."""
    monkeypatch.setattr(certificate, "_INTERVAL", 0)


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "kala.http")
    return lambda: [record.getMessage() for record in caplog.records]


def replace(file, by):
    """Replace a file as most programs do, by renaming a new one."""
    new = file.with_suffix(".new")
    shutil.copy(by, new)
    new.replace(file)


def test_a_certificate_knows_when_it_expires(files):
    assert Certificate(*files).expires_at == datetime(2120, 1, 1, tzinfo=UTC)


def test_both_may_be_in_one_file():
    assert Certificate(LOCALHOST, LOCALHOST).expires_at.year == 2120


def test_an_expired_certificate_is_used_with_a_warning(log):
    made = Certificate(EXPIRED, EXPIRED)
    assert made.expires_at == datetime(2021, 1, 1, tzinfo=UTC)
    assert log() == [f"the certificate in {EXPIRED} expired on 2021-01-01, so clients refuse it; renew it"]


def test_the_library_reads_the_same_end_of_a_certificate():
    context = ssl.create_default_context(cafile=LOCALHOST)
    (known,) = context.get_ca_certs()
    read = datetime.fromtimestamp(ssl.cert_time_to_seconds(known["notAfter"]), UTC)
    (der,) = context.get_ca_certs(binary_form=True)
    assert expiry(der) == read


def element(tag, *contents):
    body = b"".join(contents)
    size = len(body).to_bytes(2, "big")
    return bytes([tag]) + (size[1:] if len(body) < 0x80 else b"\x82" + size) + body


@pytest.mark.parametrize(
    ("tag", "text", "year"),
    [(0x17, b"491231235959Z", 2049), (0x17, b"500101000000Z", 1950), (0x18, b"20500101000000Z", 2050)],
)
@pytest.mark.parametrize("version", [[], [element(0xA0, element(2, b"\2"))]])
def test_times_of_two_digits_are_between_1950_and_2049(tag, text, year, version):
    validity = element(0x30, element(0x17, b"000101000000Z"), element(tag, text))
    serial, algorithm, issuer = element(2, b"\1"), element(0x30), element(0x30, b"x" * 300)
    made = element(0x30, element(0x30, *version, serial, algorithm, issuer, validity, element(0x30)), element(3))
    assert expiry(made).year == year


def test_connections_need_tls_1_2_and_cannot_renegotiate(files):
    context = Certificate(*files)._context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


# What is wrong


def wrong(cert, key):
    with pytest.raises(Invalid) as raised:
        Certificate(cert, key)
    return str(raised.value)


def test_a_file_that_is_missing_is_named(files, tmp_path):
    cert, key = files
    assert wrong(tmp_path / "no", key) == f"tls_certificate: cannot read {tmp_path}/no: No such file or directory"
    assert wrong(cert, tmp_path) == f"tls_key: cannot read {tmp_path}: Is a directory"


def test_a_file_that_has_something_else_is_named(files):
    cert, key = files
    cert.write_bytes(b"\x30\x82\xff\n")
    assert wrong(cert, key) == f"tls_certificate: {cert} has no certificate in PEM format; use a file that has one"
    assert wrong(LOCALHOST, cert) == f"tls_key: {cert} has no private key in PEM format; use a file that has one"


def test_a_key_of_another_certificate_is_named(files):
    cert, _ = files
    expected = f"tls_key: {OTHER} does not have the key of the certificate in {cert}; use files that match"
    assert wrong(cert, OTHER) == expected


def test_an_encrypted_key_is_refused_without_asking_for_a_passphrase(files):
    cert, _ = files
    expected = f"tls_key: {ENCRYPTED} is encrypted; use a key without a passphrase, which only Kala's user can read"
    assert wrong(cert, ENCRYPTED) == expected


def test_a_damaged_file_is_refused(files):
    cert, key = files
    cert.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    assert wrong(cert, key).startswith(f"tls_certificate: cannot use {cert} with the key in {key}: ")


def test_the_reason_of_the_library_is_shown(files, monkeypatch):
    def refuse(*_):
        error = ssl.SSLError(1, "[SSL: EE_KEY_TOO_SMALL] ee key too small (_ssl.c:3905)")
        error.reason = "EE_KEY_TOO_SMALL"
        raise error

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", refuse)
    assert wrong(*files).endswith(": EE KEY TOO SMALL")


# Loading again


def test_a_reload_loads_both_files_again(files):
    made = Certificate(*files)
    for file in files:
        replace(file, OTHER)
    before = made._context
    made.reload()
    assert made.expires_at.year == 2126
    assert made._context is not before


def test_a_reload_that_fails_leaves_the_certificate_as_it_was(files):
    made = Certificate(*files)
    before = made._context
    replace(files[1], OTHER)
    with pytest.raises(Invalid, match="does not have the key"):
        made.reload()
    assert made._context is before
    assert made.expires_at.year == 2120


@pytest.mark.usefixtures("looks")
def test_files_that_have_changed_are_loaded(files, log):
    made = Certificate(*files)
    before = made._context
    made.reload_if_changed()
    assert made._context is before
    for file in files:
        replace(file, OTHER)
    made.reload_if_changed()
    assert made.expires_at.year == 2126
    assert log() == [f"new certificate loaded from {files[0]}; it is valid until 2126-11-04"]


@pytest.mark.usefixtures("looks")
def test_a_file_that_was_written_in_place_is_loaded(files):
    made = Certificate(*files)
    before = made._context
    later = files[0].stat().st_mtime_ns + 1
    os.utime(files[0], ns=(later, later))
    made.reload_if_changed()
    assert made._context is not before


@pytest.mark.usefixtures("looks")
def test_links_may_be_replaced_instead_of_files(tmp_path):
    """As in Kubernetes, where ..data is a link to a folder, and the files are links through it."""
    for name, source in (("one", LOCALHOST), ("two", OTHER)):
        (tmp_path / name).mkdir()
        shutil.copy(source, tmp_path / name / "tls.pem")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "tls.pem").symlink_to("..data/tls.pem")
    made = Certificate(tmp_path / "tls.pem", tmp_path / "tls.pem")
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(tmp_path / "..data")
    made.reload_if_changed()
    assert made.expires_at.year == 2126


@pytest.mark.usefixtures("looks")
def test_a_certificate_that_is_replaced_before_its_key_waits_for_it(files, log):
    made = Certificate(*files)
    replace(files[0], OTHER)
    made.reload_if_changed()
    assert made.expires_at.year == 2120
    replace(files[1], OTHER)
    made.reload_if_changed()
    assert made.expires_at.year == 2126
    assert [line.partition(" ")[0] for line in log()] == ["new"]


@pytest.mark.usefixtures("looks")
def test_files_that_stay_wrong_are_logged_once(files, log):
    made = Certificate(*files)
    files[1].unlink()
    for _ in range(5):
        made.reload_if_changed()
    sentence = f"tls_key: cannot read {files[1]}: No such file or directory"
    assert log() == [f"keeping the current certificate: {sentence}"]
    shutil.copy(LOCALHOST, files[1])
    made.reload_if_changed()
    assert log()[1:] == [f"new certificate loaded from {files[0]}; it is valid until 2120-01-01"]


@pytest.mark.usefixtures("looks")
def test_the_files_from_before_are_right_again(files, log):
    made = Certificate(*files)
    before = files[1].stat()
    files[1].rename(files[1].with_suffix(".away"))
    made.reload_if_changed()
    files[1].with_suffix(".away").rename(files[1])
    assert files[1].stat().st_mtime_ns == before.st_mtime_ns
    made.reload_if_changed()
    assert not log()


def test_the_files_are_looked_at_every_few_seconds_only(files, monkeypatch):
    made = Certificate(*files)
    looked = []
    monkeypatch.setattr(Certificate, "_look", lambda self: looked.append(1) or self._loaded)
    now = [1000.0]
    monkeypatch.setattr(certificate.time, "monotonic", lambda: now[0])
    for now[0] in (1000, 1001, 1004.9, 1005, 1006):
        made.reload_if_changed()
    assert len(looked) == 2
