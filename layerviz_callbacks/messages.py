"""What the package tells the person at the terminal: one logger, no `print`."""

from __future__ import annotations

import logging

NAME = "layerviz_callbacks"


def logger() -> logging.Logger:
    """The package's logger, made visible on stderr where the program has set up no logging itself.

    Silence it with `logging.getLogger("layerviz_callbacks").setLevel("ERROR")`.
    """
    log = logging.getLogger(NAME)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("layerviz: %(message)s"))
        log.addHandler(handler)
    return log
