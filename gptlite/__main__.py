"""`python -m gptlite`, the same as `gptlite`."""

import sys

from gptlite.cli import main

sys.exit(main())
