"""Users and their logins in the database."""

from datetime import UTC, datetime, timedelta

from kala.core.account import Login

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_of_too_many_logins_those_that_were_used_for_the_shortest_time_end(store):
    """Those of a script that logs in for each request, however often it does so, and not that of a browser."""
    accounts = store.writer.accounts
    with store.transaction():
        accounts.add_login(login("ann", NOON, used_for=timedelta(hours=1)), b"browser")
        accounts.add_login(login("bob", NOON), b"of another user")
        for number in range(10):
            accounts.add_login(login("ann", NOON + timedelta(hours=2, seconds=number)), b"script %d" % number)
        assert accounts.limit_logins("ann", 3)
        assert not accounts.limit_logins("ann", 3)
        assert len(accounts.logins("ann")) == 3
        assert all(map(accounts.login_of, [b"browser", b"of another user", b"script 8", b"script 9"]))


def login(user, at, used_for=timedelta()):
    return Login(user=user, created_at=at, last_used=at + used_for, address="192.0.2.1", agent="lynx")
