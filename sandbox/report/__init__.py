"""Records -> tables -> figures -> one page; without JAX, so that it runs where the results are read."""

from sandbox.report.write import Report, write_report

__all__ = ["Report", "write_report"]
