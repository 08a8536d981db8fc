"""Regular expressions in a process of their own, which can be ended when one takes for ever.

Standard input: JSON with `pattern`, `new`, `ignore_case` and `texts`. Standard output: one JSON line per text, with the
text after the replacement. Started by its path: it imports nothing of the package.
"""

from __future__ import annotations

import json
import re
import sys


def main() -> None:
    """Replace in all texts."""
    asked = json.load(sys.stdin)
    pattern = re.compile(asked["pattern"], re.IGNORECASE if asked["ignore_case"] else 0)
    for text in asked["texts"]:
        print(json.dumps(pattern.sub(asked["new"], text)), flush=True)


if __name__ == "__main__":
    main()
