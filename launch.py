"""Start Tanren: `python launch.py demo`, `python launch.py test`, or a trainer by its name. Needs Python only."""

import os
import sys

OLDEST = (3, 10)


def main():
    """Check the interpreter, then hand over to the package."""
    if sys.version_info < OLDEST:
        # No newer syntax in this file: an older Python must be able to read it as far as this sentence.
        sys.stderr.write(
            "Tanren needs Python 3.10 to 3.13, this is %d.%d: install one of these and start it with that, "
            "for example `python3.11 launch.py`.\n" % sys.version_info[:2]
        )
        return 10
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "trainer"))
    from tanren.launcher import main as launch

    return launch(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
