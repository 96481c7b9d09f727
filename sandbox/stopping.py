"""A request to stop, by Ctrl-C or SIGTERM, which waits until the program comes to a place where it can stop.

An exception that a handler of a signal raises may be lost: JAX is called by the garbage collector too, and what is
raised there is printed and forgotten; and one that interrupts a compilation ends in a crash.
"""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

_action: Callable[[], object] | None = None
_at_once = False
_last_acts: list[Callable[[], object]] = []


class Stopped(SystemExit):
    """The process was told to stop; its code is 128 and the number of the signal."""


def stop_when_told(*numbers: int) -> None:
    """From now on each of these signals asks to stop, unless somebody handles it; in the main thread alone."""
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, request_stop)


def request_stop(number: int, frame: FrameType | None) -> None:
    """A handler after which `check_stop` raises Stopped; a second Ctrl-C before that ends the process at once."""
    if _at_once:
        _stop(number)
    if number == signal.SIGINT:
        if _action is not None:
            for act in _last_acts:
                act()
            os._exit(128 + number)
        os.write(2, b"stopping; Ctrl-C again ends at once, without a checkpoint\n")
    stop_with(functools.partial(_stop, number))


def before_a_sudden_end(act: Callable[[], object]) -> None:
    """Lets a second Ctrl-C do this before it ends the process."""
    _last_acts.append(act)


@contextlib.contextmanager
def stopping_at_once() -> Iterator[None]:
    """Within it a signal raises Stopped where the program is: it waits in a library, which never looks."""
    global _at_once
    check_stop()
    _at_once = True
    try:
        yield
    finally:
        _at_once = False


def stop_with(action: Callable[[], object]) -> None:
    """Lets `check_stop` call this, which raises what ends the process."""
    global _action
    _action = action


def check_stop() -> None:
    """Raises Stopped if the process was told to stop. Called where it can, once a second while a model trains."""
    global _action
    if (action := _action) is not None:
        _action = None
        action()


def _stop(number: int) -> NoReturn:
    raise Stopped(128 + number)
