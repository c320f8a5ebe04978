"""`python -m bench`: measure, print a table, write results.json."""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from bench import figures, flames
from bench.measure import Figure
from bench.stand import await_answer, say, standing
from catalog import logs

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Run the benches that were asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--objects", type=int, default=20_000, help="size of the corpus (default 20,000)")
    parser.add_argument("--only", nargs="*", choices=list(figures.BENCHES), help="only these benches")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write the figures")
    parser.add_argument("--flames", type=Path, help="draw where each bench's time goes into this folder")
    asked = parser.parse_args()
    names = asked.only or [name for name in figures.BENCHES if name not in figures.APART]
    logs.configure()
    with tempfile.TemporaryDirectory(prefix="catalog-bench-") as folder:
        measured = asyncio.run(run(Path(folder), asked.objects, names, asked.flames))
    print_table(measured)
    asked.results.write_text(json.dumps({"figures": [one.row() for one in measured]}, indent=1) + "\n")
    print(f"written to {asked.results}")


async def run(folder: Path, objects: int, names: list[str], pictures: Path | None = None) -> list[Figure]:
    """Return the figures of these benches over a corpus of that size."""
    measured: list[Figure] = []
    async with standing(folder, objects) as stand:
        await figures.fill(stand)
        api = stand.start("catalog", "serve", "--port", str(stand.settings.public_url.port))
        indexer = None
        try:
            await asyncio.to_thread(await_answer, str(stand.settings.public_url))
            for name, bench in figures.BENCHES.items():
                if name not in names:
                    continue
                if name in {"B6", "LAG", "ALERTS", "B13", "B11", "REBUILD", "PEER"} and indexer is None:
                    indexer = stand.start("indexer", "run")
                with flames.drawn(name, pictures):
                    found = await bench(stand)
                # At once: the next one may take long, or fail.
                for one in found:
                    say(f"  {one.id} {one.ratio:.3f}: {one.ours:,.2f} of {one.limit:,.2f} {one.unit}. {one.note}")
                measured += found
        finally:
            for process in (api, indexer):
                if process is not None:
                    process.terminate()
                    await asyncio.to_thread(process.wait, 15)
    return measured


def print_table(measured: list[Figure]) -> None:
    """Print the figures for people."""
    print(f"{'figure':13} {'ratio':>8}  {'95 % interval':>18} {'ours':>12} {'limit':>12} {'unit':12} target")
    for one in measured:
        low, high = one.interval
        print(
            f"{one.id:13} {one.ratio:8.3f}  [{low:7.3f}, {high:7.3f}] {one.ours:12,.2f} {one.limit:12,.2f} "
            f"{one.unit:12} {one.target}  {one.note}"
        )


if __name__ == "__main__":
    main()
