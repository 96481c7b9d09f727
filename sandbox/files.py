"""Writing that a crash, a full disk or a read-only folder cannot leave half done."""

import errno
import os
import pathlib
import shutil

from sandbox.errors import InputError

NO_PLACE = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EROFS: "read-only"}
"""Error numbers of a place that takes no more, and what they mean."""

SPARE_BYTES = 2**20
"""Room on a disk beyond what is about to be written."""


def make_writable(directory: pathlib.Path) -> None:
    """Creates the directory; raises InputError if no file can be created in it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        writable = os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise InputError(f"output_dir: cannot write to {directory}; give a folder that can be written")


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Replaces the file in one step: a crash leaves the old text or the new one."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # another process may write the same file
    try:
        partial.write_text(text)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def check_room(directory: pathlib.Path, size: int) -> None:
    """Raises OSError if a disk has no room for `size` bytes and a little more.

    Orbax, which writes in threads of its own, tells of a full disk in a hundred lines that cannot be caught.
    """
    if shutil.disk_usage(directory).free < size + SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))


def out_of_space(error: BaseException | None) -> str | None:
    """What the place that was written to lacks, if that is what this error, or one that caused it, is about.

    Libraries that write arrays tell it in the text of an error of their own.
    """
    while error is not None:
        for number, meaning in NO_PLACE.items():
            if (isinstance(error, OSError) and error.errno == number) or os.strerror(number) in str(error):
                return meaning
        error = error.__cause__ or error.__context__
    return None
