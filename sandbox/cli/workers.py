"""Worker processes that train runs side by side, as a stream of events.

The pools of `concurrent.futures` and joblib break as a whole when one of their processes dies. Here each worker is
a `multiprocessing.Process` with a pipe of its own, so that a death costs the run it was training and nothing else.
"""

import contextlib
import dataclasses
import enum
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from hydra.core.utils import env_override

from sandbox.cli.memory import release_memory
from sandbox.cli.shares import Share
from sandbox.config import Config
from sandbox.cores import NPROC
from sandbox.errors import NoSpace
from sandbox.run_folder import RunBusy, count_death, forget_training, forget_training_of
from sandbox.stopping import check_stop, stop_when_told

CONTEXT = multiprocessing.get_context("spawn")
"""New interpreters: a fork would copy the locks of JAX's threads."""

LOOK_SECONDS = 0.5
"""Time between two looks at whether to stop, while no worker has anything to say."""

PATIENCE_SECONDS = 30.0
"""Time that a worker has to save a checkpoint when it is told to stop. Compiling cannot be interrupted."""


RUNS_PER_PROCESS = 50
"""Runs after which a worker makes room for a new process: each leaves about 0.2 MB that nothing frees."""


@dataclasses.dataclass(frozen=True)
class Started:
    """A worker began with a run."""

    index: int
    config: Config


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A run came to this step of the population that trains; `best` is its best validation accuracy so far, None
    before the first."""

    index: int
    rates: Sequence[float]
    """The learning rates of this population."""
    step: int
    best: float | None


class End(enum.Enum):
    """How the training of a run ended."""

    finished = "finished"
    failed = "failed"
    died = "died"
    """Its process died."""
    busy = "busy"
    """Another command trains it."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """A run ended; unless it is finished, `reason` says why."""

    index: int
    how: End
    reason: str = ""


Event = Started | Evaluated | Ended


def train_side_by_side(configs: Iterable[Config], share: Share) -> Generator[Event, None, None]:
    """Trains all runs, `share.jobs` at a time, and yields what happens; `index` counts the configs.

    A config is taken from the iterable when a worker is free for it. Closing the iterator ends all workers.
    """
    waiting = enumerate(configs)
    idle: list[_Worker] = []
    running: list[_Worker] = []
    try:
        while True:
            while len(running) < share.jobs and (following := next(waiting, None)):
                idle = [worker for worker in idle if worker.process.is_alive()]
                worker = idle.pop() if idle else _Worker(share)
                worker.begin(*following)
                running.append(worker)
                yield Started(*following)
            if not running:
                return
            ready = wait([worker.connection for worker in running], LOOK_SECONDS)
            check_stop()
            for worker in [worker for worker in running if worker.connection in ready]:
                event = worker.next_event()
                if isinstance(event, Ended):
                    running.remove(worker)
                    if worker.runs < RUNS_PER_PROCESS:
                        idle.append(worker)
                    else:  # its successor may need its share of an accelerator
                        _end([worker], [])
                yield event
    finally:
        _end(idle, running)


def _end(idle: "Sequence[_Worker]", running: "Sequence[_Worker]") -> None:
    """Ends all workers: an idle one when its pipe closes, one that trains after a checkpoint."""
    for worker in idle:
        worker.connection.close()
    for worker in running:
        worker.process.terminate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    for worker in (*idle, *running):
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
            if worker in running:
                forget_training_of(worker.directory)


class _Worker:
    """One process, which trains one run after the other."""

    def __init__(self, share: Share):
        self.connection, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
        self.index, self.runs = -1, 0
        # Both reach the whole group of processes: workers, which inherit this, leave them to the parent.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
        try:
            with env_override(_environment(share)):
                self.process.start()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        theirs.close()

    def begin(self, index: int, config: Config) -> None:
        self.index, self.directory = index, config.directory
        self.runs += 1
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # dead: the next event says so
            self.connection.send((index, config))

    def next_event(self) -> Event:
        """Waits for the next event of the run that it is training; its own death is one."""
        try:
            event: Event = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            event = Ended(self.index, End.died, _cause_of_death(self.process.exitcode))
            count_death(self.directory, event.reason)
        return event


def _environment(share: Share) -> dict[str, str]:
    """What keeps a worker within its share. Its libraries read this when they are imported or first compute."""
    names = (NPROC, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    memory_of_a_gpu = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / share.jobs:.3f}"}
    return {name: str(share.cores) for name in names} | memory_of_a_gpu


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code in (128 + signal.SIGTERM, -signal.SIGTERM):
        return "told to stop by SIGTERM"
    if exit_code is None or exit_code >= 0:
        return f"ended, with code {exit_code}"
    number = signal.Signals(-exit_code)
    return f"killed by {number.name}" + (" (out of memory?)" if number is signal.SIGKILL else "")


def _work(connection: Connection) -> None:
    """What a worker does: trains the runs that come through the pipe, and reports on them."""
    from sandbox.cli.startup import silence_third_parties, use_compile_cache, use_cores_as_devices

    stop_when_told(signal.SIGTERM)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    silence_third_parties()
    use_cores_as_devices()
    use_compile_cache()
    while True:
        try:
            index, config = connection.recv()
        except EOFError:
            return
        ended = _train(config, index, connection)
        release_memory()
        connection.send(ended)


def _train(config: Config, index: int, connection: Connection) -> Ended:
    """Trains one run; how that ended."""
    from sandbox.cli.display import best_accuracy
    from sandbox.cli.tracking import tracked
    from sandbox.run import run

    def listen(rates: Sequence[float], step: int, history: list[dict[str, Any]]) -> None:
        connection.send(Evaluated(index, rates, step, best_accuracy(history)))

    try:
        with tracked(config, listen) as listen_and_track:
            run(config, listen_and_track)
    except RunBusy as error:
        return Ended(index, End.busy, str(error))
    except NoSpace as error:
        return Ended(index, End.failed, str(error))
    except Exception as error:
        return Ended(index, End.failed, f"{type(error).__name__}: {error}")
    return Ended(index, End.finished)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    forget_training()
    os._exit(1)
