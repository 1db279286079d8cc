"""What callers of the engine get instead of an answer."""

import logging
from concurrent.futures import Future
from typing import Any

from kala.core.errors import Busy, KalaError
from kala.engine.messages import Message

logger = logging.getLogger("kala.engine")


def result(answer: "Future[Any]", waited: float) -> Any:
    """Return the answer or, instead of raising it, the error. It was waited for `waited` seconds."""
    try:
        return answer.result(timeout=0)
    except KalaError as error:
        return error
    except TimeoutError:
        return no_answer(waited)


def no_answer(waited: float) -> Busy:
    return Busy(f"no response within {waited:.0f} s; check whether the change was made before you try again")


def reject(message: Message[Any], answer: "Future[Any]", error: Exception) -> None:
    """Give a caller the error. One that is not meant for the caller is a bug of ours."""
    if not isinstance(error, KalaError):
        logger.error("%s failed with an internal error", type(message).__name__, exc_info=error)
    answer.set_exception(error)
