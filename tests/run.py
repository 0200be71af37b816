#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one part of the tests, counts, and shows details only of what failed.

    run.py start               forget earlier counts
    run.py lint                the checks of lint.py
    run.py unit STATUS PROGRAM...   cmocka programs; STATUS is make's after building them
    run.py sim PROGRAM ARGS... the simulator, which counts by itself
    run.py fuzz STATUS PROGRAM...   replay of the corpora
    run.py integration [long]  pytest; `long`: what `make check` leaves out
    run.py guest               a few of those under another kernel, in a guest
    run.py broken PART         PART could not even be counted
    run.py total               sum of all parts since `start`

The counts of each part lie in $FLANNEL_BUILD/tests/results, so that `make check` can add them up.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("FLANNEL_BUILD", ROOT / "build"))
RESULTS = BUILD / "tests" / "results"
PARTS = ["lint", "unit", "sim", "fuzz", "integration", "guest"]
PROGRAM_TIMEOUT_S = 300
SIM_TIMEOUT_S = 15 * 60
INTEGRATION_TIMEOUT_S = GUEST_TIMEOUT_S = 40 * 60
# Most tests wait most of the time: three for each processor keep it busy, and leave room for those that measure.
INTEGRATION_WORKERS = str(min(16, 3 * (os.cpu_count() or 1)))


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def __add__(self, other):
        return Count(
            self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        )

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def store(part, count):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / part).write_text(f"{count.passed} {count.failed} {count.skipped}\n")


def sanitizer_environment():
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    return env


def run_captured(command, timeout_s, **environment):
    """Exit status and output; a process that hangs is ended with everything it started."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=sanitizer_environment() | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += b"\nstill running after %d s, ended\n" % timeout_s
        status = -signal.SIGKILL
    return status, output.decode("utf-8", "replace")


def indent(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def run_cmocka(program):
    """Counts TAP lines. A test the program planned but never reported is a failure: it crashed."""
    name = pathlib.Path(program).name
    if not os.access(program, os.X_OK):
        return Count(failed=1), f"{name}: not built\n"
    status, output = run_captured([program], PROGRAM_TIMEOUT_S, CMOCKA_MESSAGE_OUTPUT="TAP")
    planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)$", output, re.M))
    passed = len(re.findall(r"^ok \d+", output, re.M))
    skipped = len(re.findall(r"^not ok \d+ # SKIP", output, re.M))
    failed_by_name = len(re.findall(r"^not ok \d+ (?!# SKIP)", output, re.M))
    failed = max(failed_by_name, planned - passed - skipped)
    if failed == 0 and (status != 0 or planned == 0):
        failed = 1
    details = ""
    if failed:
        wanted = re.sub(r"^(ok \d+.*|1\.\.\d+)\n", "", output, flags=re.M)
        if failed_by_name:  # a test that stops half-way leaks; that is no second finding
            wanted = re.sub(r"\n=+\n==\d+==ERROR: LeakSanitizer.*", "", wanted, flags=re.S)
        details = f"{name}: exit status {status}\n{indent(wanted)}"
    return Count(passed, failed, skipped), details


def run_replay(program):
    name = pathlib.Path(program).name
    if not os.access(program, os.X_OK):
        return Count(failed=1), f"{name}: not built\n"
    corpus = ROOT / "tests" / "fuzz" / "corpus" / name.removeprefix("fuzz_")
    status, output = run_captured([program, str(corpus)], PROGRAM_TIMEOUT_S)
    if status == 0:
        return Count(passed=1), ""
    # Runs are deterministic: the same again, naming each input before it is tried.
    _, trace = run_captured([program, "-v", str(corpus)], PROGRAM_TIMEOUT_S)
    inputs = re.findall(r"^input: .*$", trace, re.M)
    where = inputs[-1] if inputs else "before the first input"
    return Count(failed=1), f"{name}: exit status {status}\n{indent(where)}{indent(output)}"


def run_sim(command):
    if not os.access(command[0], os.X_OK):
        sys.stdout.write(f"{command[0]}: not built\n")
        return Count(failed=1)
    status, output = run_captured(["nice", *command], SIM_TIMEOUT_S)
    counts = re.findall(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", output, re.M)
    count = Count(*map(int, counts[-1])) if counts else Count()
    if status != 0 and count.failed == 0:
        count.failed = 1
    if count.failed:
        sys.stdout.write(indent(output))
    return count


def run_programs(part, build_status, programs, run):
    total = Count()
    if build_status != "0" and all(os.access(p, os.X_OK) for p in programs):
        sys.stdout.write(f"{part}: a program could not be built anew, an old one was run\n")
        total += Count(failed=1)
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for count, details in pool.map(run, programs):
            total += count
            sys.stdout.write(details)
    return total


def run_lint():
    import lint

    total = Count()
    for name, result in lint.run_all():
        if result is None:
            total += Count(skipped=1)
        elif isinstance(result, lint.NotHere):
            total += Count(skipped=1)
            sys.stdout.write(f"lint: {name}: skipped: {result}\n")
        elif result == "":
            total += Count(passed=1)
        else:
            total += Count(failed=1)
            sys.stdout.write(f"lint: {name}\n{indent(result)}")
    return total


def run_integration(part):
    """All tests of the part beside each other; a failure is a failure, none is tried again."""
    tests = ROOT / "tests" / "integration"
    if not list(tests.glob("**/test_*.py")):
        return Count()
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = BUILD / "tests" / "integration.xml"
    report.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "pytest", str(tests), "-n", INTEGRATION_WORKERS, f"--part={part}", "-q",
        "--no-header", "--tb=short", "-rfEs", "-p", "no:cacheprovider", f"--junitxml={report}",
    ]  # fmt: skip
    status, output = run_captured(command, INTEGRATION_TIMEOUT_S, FLANNEL_BUILD=str(BUILD))
    ended = {}
    if report.exists():
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            name = case.get("classname"), case.get("name")
            kinds = {child.tag for child in case}
            how = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
            # A case may end twice: passed, and failed while it was cleaned up.
            if ended.get(name) != "failed":
                ended[name] = how
    count = Count(*(list(ended.values()).count(key) for key in ("passed", "failed", "skipped")))
    if status not in (0, 5) and count.failed == 0:
        count.failed = 1
    if count.failed:
        sys.stdout.write(indent(output))
    elif count.skipped:
        sys.stdout.write(indent("\n".join(re.findall(r"^SKIPPED .*$", output, re.M))))
    return count


def run_guest():
    """Skipped where no guest can be had; what the machine does meanwhile does not matter to it, see guest.py."""
    if os.environ.get("FLANNEL_SANITIZE"):
        sys.stdout.write("    guest: skipped: with sanitizers, which would make it several times as slow\n")
        return Count(skipped=1)
    command = [sys.executable, "tests/guest/guest.py", "--list", "check"]
    status, output = run_captured(command, GUEST_TIMEOUT_S, FLANNEL_BUILD=str(BUILD))
    if status == 77:
        sys.stdout.write(indent(output))
        return Count(skipped=1)
    told = re.findall(r"^guest: Linux [^ ]+: (.*); exit status", output, re.M)
    words = re.findall(r"(\d+) (passed|failed|skipped|error)", told[-1]) if told else []
    numbers = {word: int(number) for number, word in words}
    failed = numbers.get("failed", 0) + numbers.get("error", 0)
    if failed == 0 and (status != 0 or not numbers):
        failed = 1
    if failed:
        sys.stdout.write(indent(output))
    return Count(numbers.get("passed", 0), failed, numbers.get("skipped", 0))


def total():
    count = Count()
    for part in PARTS:
        if not (RESULTS / part).exists():
            print(f"{part}: was not run")
            count.failed += 1
    for file in sorted(RESULTS.glob("*")):
        count += Count(*map(int, file.read_text().split()))
    print(count)
    return 1 if count.failed else 0


def main():
    part, arguments = sys.argv[1], sys.argv[2:]
    started = time.monotonic()
    if part == "start":
        for file in RESULTS.glob("*"):
            file.unlink()
        return 0
    if part == "total":
        return total()
    if part == "broken":
        if not (RESULTS / arguments[0].removesuffix("-check")).exists():
            print(f"{arguments[0]}: could not be run, see above")
            store(arguments[0], Count(failed=1))
        return 0
    if part == "lint":
        count = run_lint()
    elif part == "unit":
        count = run_programs(part, arguments[0], arguments[1:], run_cmocka)
    elif part == "sim":
        count = run_sim(arguments)
    elif part == "fuzz":
        count = run_programs(part, arguments[0], arguments[1:], run_replay)
    elif part == "integration":
        count = run_integration(*(arguments or ["check"]))
    elif part == "guest":
        count = run_guest()
    else:
        sys.exit(__doc__)
    store(part, count)
    print(f"  {part:<12} {count} ({time.monotonic() - started:.1f} s)", flush=True)
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
