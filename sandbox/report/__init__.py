"""Reports on records: tables, figures and one page. It imports no JAX, so it runs wherever results are read."""

from sandbox.report.write import FIGURES, Report, figure, write_report

__all__ = ["FIGURES", "Report", "figure", "write_report"]
