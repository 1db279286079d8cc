from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from jinja2 import Environment

from kala.ui.templates_once import TemplatesOnce

THREADS = 8
# Compiling it takes longer than a thread may run in one go.
LONG = "{{ 1 + 1 }}" * 1_000


class Counting(Environment):
    """Counts how often each template is compiled."""

    def compile(self, source, name=None, *args, **kwargs):
        self.compiled[name] += 1
        return super().compile(source, name, *args, **kwargs)


def test_threads_that_show_their_first_page_together_compile_each_template_once(tmp_path):
    (tmp_path / "page.html").write_text(f"{{% extends 'layout.html' %}}{{% block main %}}{LONG}{{% endblock %}}")
    (tmp_path / "layout.html").write_text(f"{{% block main %}}{{% endblock %}}{LONG}")
    environment = Counting(loader=TemplatesOnce(tmp_path))
    environment.compiled = Counter()
    together = Barrier(THREADS)

    def show(_) -> str:
        together.wait(10)
        return environment.get_template("page.html").render()

    with ThreadPoolExecutor(THREADS) as pool:
        pages = set(pool.map(show, range(THREADS)))
    assert pages == {"2" * 2_000}
    assert environment.compiled == {"page.html": 1, "layout.html": 1}
