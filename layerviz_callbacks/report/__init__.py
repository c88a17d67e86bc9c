"""A training as one HTML page: every picture at every step, in a file that needs no server and no network."""

from __future__ import annotations

from layerviz_callbacks.report.writing import write_report

__all__ = ["write_report"]
