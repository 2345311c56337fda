"""Lines of each room of the package, and how many more or fewer than on the main branch.

`python -m benchmarks.size [BRANCH]`, from the root of a checkout.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from quantkit.cli.console import say

PACKAGE = "quantkit"


def room(path: str) -> str:
    """The room of a file, or the package itself."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else PACKAGE


def lines_now() -> Counter[str]:
    """Lines by room in the working tree."""
    files = Path(PACKAGE).rglob("*.py")
    return _counted((str(path), path.read_text(encoding="utf-8")) for path in files)


def lines_of(branch: str) -> Counter[str]:
    """Lines by room in the last commit of a branch."""
    names = _git("ls-tree", "-r", "--name-only", branch, f"{PACKAGE}/").split()
    return _counted((name, _git("show", f"{branch}:{name}")) for name in names)


def _counted(files: Iterable[tuple[str, str]]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for name, text in files:
        if name.endswith(".py"):
            counted[room(name)] += len(text.splitlines())
    return counted


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Print the table."""
    branch = sys.argv[1] if len(sys.argv) > 1 else "main"
    now, before = lines_now(), lines_of(branch)
    for name in [*sorted(now | before), "all"]:
        lines = now.total() if name == "all" else now[name]
        change = lines - (before.total() if name == "all" else before[name])
        say(f"{name:<10} {lines:>6} {change:>+6}")


if __name__ == "__main__":
    main()
