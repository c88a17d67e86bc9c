"""`python -m layerviz_callbacks`."""

import sys

from layerviz_callbacks.cli import main

if __name__ == "__main__":
    sys.exit(main())
