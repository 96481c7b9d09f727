"""The command `sandbox` as a program for another process."""

COMMAND = """
import signal
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # what is started in the background ignores some
    signal.signal(number, signal.SIG_DFL)
from sandbox.cli.main import main
main()
"""
"""The program `sandbox`, which signals reach wherever tests run."""
