"""A first run on real scanned digits: `python -m layerviz_callbacks demo`."""

from layerviz_callbacks.demo.run import run

__all__ = ["run"]
