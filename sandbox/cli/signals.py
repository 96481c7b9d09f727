"""SIGTERM, which Slurm sends before it kills, ends a command as Ctrl-C does: after a checkpoint of each run."""

import signal
import threading
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM
"""Of a process that ended because it was told to."""


class Terminated(SystemExit):
    """The process was told to stop."""


def stop_on_sigterm() -> None:
    """From now on SIGTERM raises Terminated, once, unless somebody else handles it; in the main thread alone."""
    ours = threading.current_thread() is threading.main_thread()
    if ours and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, stop)


def stop(number: int, frame: FrameType | None) -> None:
    """A handler that raises Terminated, once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever asks again waits for the checkpoint
    raise Terminated(EXIT_CODE)
