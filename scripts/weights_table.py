#!/usr/bin/env python3
"""Prints, as a Markdown table, what every benchmarked call and hook takes of a block's compute time
when its parameters are at their largest. Reads runtime/src/weights/, which scripts/weights.sh wrote."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Of RocksDbWeight, in picoseconds.
READ, WRITE = 25_000_000, 100_000_000
# Two seconds.
BLOCK = 2_000_000_000_000


def number(text):
    return int(text.replace("_", ""))


def cost(body, largest):
    """Picoseconds of a function of a weight file with these values of its parameters."""
    total = 0
    first = re.search(r"Weight::from_parts\(([\d_]+), \d", body)
    total += number(first[1])
    for slope, name in re.findall(r"from_parts\(([\d_]+), 0\)\.saturating_mul\((\w)\.into\(\)\)", body):
        total += number(slope) * largest[name]
    for kind, count in re.findall(r"\.(reads|writes)\(([\d_]+)(?:_u64)?\)\)", body):
        total += number(count) * (READ if kind == "reads" else WRITE)
    for kind, count, name in re.findall(
            r"\.(reads|writes)\(\(([\d_]+)_u64\)\.saturating_mul\((\w)\.into\(\)\)\)", body):
        total += number(count) * largest[name] * (READ if kind == "reads" else WRITE)
    return total


def main():
    print("| pallet | call or hook | parameters | share of a block |")
    print("|---|---|---|---|")
    for path in sorted((ROOT / "runtime/src/weights").glob("pallet_*.rs")):
        # Doc comments, name and body of each function.
        functions = re.findall(
            r"((?:^\t///[^\n]*\n)*)^\tfn (\w+)\([^)]*\) -> Weight \{\n(.*?)^\t\}", path.read_text(), re.M | re.S)
        for docs, name, body in functions:
            ranges = re.findall(r"component `(\w)` is `\[(\d+), (\d+)\]`", docs)
            largest = {parameter: int(end) for parameter, _, end in ranges}
            told = ", ".join(f"{parameter} = {end:,}" for parameter, end in largest.items())
            share = 100 * cost(re.sub(r"\s*//.*", "", body).replace("\n", ""), largest) / BLOCK
            print(f"| {path.stem.removeprefix('pallet_')} | {name} | {told} | {share:.3f} % |")


if __name__ == "__main__":
    main()
