import pytest
from process import Kala, gate, kala, make, serve, wait

__all__ = ("gate", "kala", "make", "serve", "wait")


@pytest.fixture
def tell(kala: Kala):
    """Run a command against a running Kala; return its exit code, stdout and stderr."""
    kala.environ["KALA_URL"] = f"unix://{kala.data}/kala.sock"

    def tell(*arguments, **environ):
        kala.environ.update(environ)
        done = kala.tell(*arguments)
        return done.returncode, done.stdout, done.stderr

    return tell
