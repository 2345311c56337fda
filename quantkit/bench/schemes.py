"""Compare recipes of one checkpoint: bytes, divergence and words, each with its interval.

`python -m quantkit.bench.schemes RECIPE... --speech MANIFEST` builds every recipe as usual (stages
that are in the store are not run again), verifies it on the same speech and prints one row each.
The first recipe is what the others' divergence is divided by.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from quantkit.bundle.manifest import weights_and_bits
from quantkit.core.errors import QuantkitError
from quantkit.core.files import write_json
from quantkit.pipeline import Store, build
from quantkit.pipeline.progress import StageProgress, progress_on
from quantkit.recipe import load_recipe, located

#: Columns that a table may take in a log.
WIDTH = 132


def compare_recipes(
    recipes: Sequence[Path],
    overrides: Sequence[str],
    out: Path,
    store: Store,
    progress: StageProgress,
) -> list[dict[str, Any]]:
    """Build recipes into `out`/NAME; name, bytes, bits per weight and parity of each.

    Raises:
        InputError: a recipe or something that it names is wrong.
    """
    rows = []
    for path in recipes:
        recipe = load_recipe(path, overrides)
        with located(path, overrides):
            manifest = build(recipe, out / recipe.name, store, progress).manifest
        rows.append(
            {
                "name": recipe.name,
                "bytes": manifest["total_bytes"],
                "bits_per_weight": weights_and_bits(manifest)[1],
                "parity": manifest["parity"],
            }
        )
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a recipe."""
    parity = rows[0]["parity"]
    words = f", {parity['wer']['words']} words" if parity["wer"] else ""
    drawn = Table(title=f"{parity['utterances']} utterances{words}", title_justify="left")
    drawn.add_column("recipe", overflow="fold")
    heads = ["MB", "bits", "KL mean", "95 %", "/ first", "token errors", "WER", "- PyTorch", "95 %"]
    for head in heads:
        drawn.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        drawn.add_row(row["name"], *_cells(row, parity["kl"]["mean"]))
    return drawn


def _cells(row: Mapping[str, Any], first: float) -> list[str]:
    kl, wer = row["parity"]["kl"], row["parity"]["wer"]
    cells = [
        f"{row['bytes'] / 1e6:.2f}",
        f"{row['bits_per_weight']:.2f}",
        f"{kl['mean']:.2e}",
        f"{kl['mean_low']:.1e} {kl['mean_high']:.1e}",
        f"{kl['mean'] / first:.3f}",
        f"{row['parity']['token_error_rate']:.2%}",
    ]
    if not wer:
        return [*cells, "-", "-", "-"]
    bounds = f"{wer['difference_low'] * 100:+.2f} {wer['difference_high'] * 100:+.2f}"
    return [*cells, f"{wer['candidate']:.2%}", f"{wer['difference'] * 100:+.2f}", bounds]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="quantkit.bench.schemes", description=__doc__)
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--speech", help="a speech manifest instead of the recipes' own")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path(".cache/bench/schemes"))
    parser.add_argument("--store", type=Path, default=Path(".quantkit/store"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    overrides = [*given.set, *([f"verify.manifest={given.speech}"] if given.speech else [])]
    try:
        progress = progress_on(Console(stderr=True))
        rows = compare_recipes(given.recipes, overrides, given.out, Store(given.store), progress)
    except QuantkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    Console(width=None if Console().is_terminal else WIDTH).print(table(rows))
    if given.json:
        write_json(given.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
