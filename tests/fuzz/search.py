#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs libFuzzer targets for FUZZ_SECONDS of processor time each, as many at once as there are processors.

    search.py DIRECTORY [NAME...]    DIRECTORY holds the programs fuzz_*; NAME: only these, without "fuzz_"

They start from the corpora. It is processor time, so that a busy machine searches as much as an idle one.

New inputs go to DIRECTORY/found/NAME, crashing ones to DIRECTORY/crash/NAME-*. Fails if one crashed. FUZZ_GROW=1: small
ones that reach what no input of tests/fuzz/corpus/NAME does are copied there.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


GROW_MAX_SIZE = 4096
TIMEOUT_S = 60  # of one input, by the clock: a machine that is busy may stand still for long
LOOK_S = 1


def grow(program, found, corpus):
    """libFuzzer takes from `found` what reaches code that `corpus` does not, smallest first. Returns how many."""
    small = found.parent.parent / "small" / corpus.name
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir(parents=True)
    for path in found.iterdir():
        if path.stat().st_size <= GROW_MAX_SIZE:
            shutil.copy(path, small)
    before = len(list(corpus.iterdir()))
    subprocess.run([str(program), "-merge=1", "-use_counters=0", "-timeout=10", "-close_fd_mask=3", str(corpus), str(small)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    return len(list(corpus.iterdir())) - before


def processor_seconds(pid):
    """What it used until now; None once it has ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(command, seconds):
    """Ends it, as libFuzzer wants to be asked, once it has used so many. Returns its exit status and its output."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while True:
            try:
                output, _ = process.communicate(timeout=LOOK_S)
                return process.returncode, output.decode("utf-8", "replace")
            except subprocess.TimeoutExpired:
                if (processor_seconds(process.pid) or 0) >= seconds:
                    process.send_signal(signal.SIGUSR1)


def search(program, seconds):
    """Returns whether nothing broke; says what was seen."""
    directory = program.parent
    name = program.name.removeprefix("fuzz_")
    found, crash = directory / "found" / name, directory / "crash"
    corpus = ROOT / "tests" / "fuzz" / "corpus" / name
    for path in (found, crash):
        path.mkdir(parents=True, exist_ok=True)
    status, output = run(
        [str(program), f"-timeout={TIMEOUT_S}", "-rss_limit_mb=1024", "-max_len=8192", "-print_final_stats=1",
         "-close_fd_mask=1", f"-artifact_prefix={crash}/{name}-", str(found), *([str(corpus)] if corpus.is_dir() else [])],
        seconds,
    )  # fmt: skip
    runs = re.search(r"number_of_executed_units: (\d+)", output)
    cover = re.findall(r"cov: (\d+)", output)
    text = [
        f"  {name:<20} {runs[1] if runs else '?':>10} inputs, {cover[-1] if cover else '?'} edges, "
        f"{'ok' if status == 0 else 'FAILED'}"
    ]
    if os.environ.get("FUZZ_GROW") and corpus.is_dir():
        text.append(f"  {name:<20} {grow(program, found, corpus)} inputs more in the corpus")
    if status:
        text += [f"    {line}" for line in output.splitlines()[-60:]]
    print("\n".join(text), flush=True)
    return status == 0


def main():
    seconds = float(os.environ.get("FUZZ_SECONDS", "60"))
    names = sys.argv[2:]
    programs = sorted(
        p for p in pathlib.Path(sys.argv[1]).glob("fuzz_*")
        if not p.suffix and (not names or p.name.removeprefix("fuzz_") in names)
    )  # fmt: skip
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return 0 if all(list(pool.map(lambda program: search(program, seconds), programs))) else 1


if __name__ == "__main__":
    sys.exit(main())
