"""`python -m tanren …`: what the installed `tanren` script does, with the interpreter that is named."""

import sys

from .launcher import installed_main

if __name__ == "__main__":
    sys.exit(installed_main())
