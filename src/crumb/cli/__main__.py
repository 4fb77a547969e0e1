"""`python -m crumb.cli`, the same as `crumb`."""

import sys

from crumb.cli import main

sys.exit(main())
