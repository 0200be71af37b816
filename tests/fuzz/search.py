#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs libFuzzer targets for FUZZ_SECONDS each, starting from the corpora.

    search.py DIRECTORY [NAME...]    DIRECTORY holds the programs fuzz_*; NAME: only these, without "fuzz_"

New inputs go to DIRECTORY/found/NAME, crashing ones to DIRECTORY/crash/NAME-*. Fails if one crashed.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


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
        if result.returncode:
            failed += 1
            print("\n".join(f"    {line}" for line in result.stdout.splitlines()[-60:]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
