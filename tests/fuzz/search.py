#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs libFuzzer targets for FUZZ_SECONDS each, starting from the corpora.

    search.py DIRECTORY [NAME...]    DIRECTORY holds the programs fuzz_*; NAME: only these, without "fuzz_"

New inputs go to DIRECTORY/found/NAME, crashing ones to DIRECTORY/crash/NAME-*. Fails if one crashed. FUZZ_GROW=1: small
ones that reach what no input of tests/fuzz/corpus/NAME does are copied there.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


GROW_MAX_SIZE = 4096


def grow(program, found, corpus):
    """libFuzzer takes from `found` what adds to `corpus`, smallest first. Returns how many."""
    small = found.parent.parent / "small" / corpus.name
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir(parents=True)
    for path in found.iterdir():
        if path.stat().st_size <= GROW_MAX_SIZE:
            shutil.copy(path, small)
    before = len(list(corpus.iterdir()))
    subprocess.run([str(program), "-merge=1", "-timeout=10", "-close_fd_mask=3", str(corpus), str(small)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    return len(list(corpus.iterdir())) - before


def main():
    directory = pathlib.Path(sys.argv[1])
    seconds = os.environ.get("FUZZ_SECONDS", "60")
    programs = sorted(p for p in directory.glob("fuzz_*") if not p.suffix)
    failed = 0
    for program in programs:
        name = program.name.removeprefix("fuzz_")
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        found = directory / "found" / name
        crash = directory / "crash"
        corpus = ROOT / "tests" / "fuzz" / "corpus" / name
        for path in (found, crash):
            path.mkdir(parents=True, exist_ok=True)
        result = subprocess.run(
            [str(program), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=8192",
             "-print_final_stats=1", "-close_fd_mask=1", f"-artifact_prefix={crash}/{name}-", str(found),
             *([str(corpus)] if corpus.is_dir() else [])],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        runs = re.search(r"number_of_executed_units: (\d+)", result.stdout)
        cover = re.findall(r"cov: (\d+)", result.stdout)
        print(
            f"  {name:<20} {runs[1] if runs else '?':>10} inputs, {cover[-1] if cover else '?'} edges, "
            f"{'ok' if result.returncode == 0 else 'FAILED'}",
            flush=True,
        )
        if os.environ.get("FUZZ_GROW") and corpus.is_dir():
            print(f"  {name:<20} {grow(program, found, corpus)} inputs more in the corpus", flush=True)
        if result.returncode:
            failed += 1
            print("\n".join(f"    {line}" for line in result.stdout.splitlines()[-60:]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
