"""``python -m stereo``: the command line, unless a folder of the user shadows our packages.

Python puts the current folder first on its path under ``-m``, so a folder there that is called
``data`` (as many are) would be imported in place of ours. The script ``stereo`` is not affected.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("data", "nas", "energy")


def shadowed() -> str | None:
    """Return what to tell the user if one of our packages is hidden by another, else None."""
    ours = Path(__file__).resolve().parent.parent
    for package in PACKAGES:
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or [spec.origin or ""]) if spec else []
        if not places:
            return f"The package '{package}' that belongs to stereo is missing; install it again."
        if Path(places[0]).resolve() != ours / package:
            return (
                f"{places[0]} hides the package '{package}' that belongs to stereo. Use the "
                "command 'stereo' instead of 'python -m stereo', or 'python -P -m stereo', or run "
                "from another folder."
            )
    return None


if __name__ == "__main__":
    complaint = shadowed()
    if complaint:
        sys.stderr.write(f"Error: {complaint}\n")
        sys.exit(2)
    from stereo.cli import main

    main()
