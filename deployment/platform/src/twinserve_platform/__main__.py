"""Run as `python -m twinserve_platform`."""

from __future__ import annotations

import sys

from twinserve_platform.cli import main

if __name__ == "__main__":
    sys.exit(main())
