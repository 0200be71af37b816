# SPDX-License-Identifier: Apache-2.0
"""Rules of the house that a machine can check. Each function below is one check: it yields complaints.

A check that returns None was not possible here (for instance, the plugin is not built) and counts as skipped; so does
one that raises NotHere, which says why.
"""

import ast
import os
import pathlib
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("FLANNEL_BUILD", ROOT / "build"))

LAYERS = ["lib", "kernel", "subnet", "stores", "backends", "traffic", "fastpath", "fabric", "flanneld", "fabricctl", "cni-plugin", "mk-docker-opts", "install-conf"]

# Who may include whose headers: docs/architecture has the picture.
MAY_INCLUDE = {
    "lib": {"lib"},
    "kernel": {"lib", "kernel"},
    "subnet": {"lib", "subnet"},
    "stores": {"lib", "subnet", "stores"},
    "backends": {"lib", "kernel", "subnet", "backends"},
    "traffic": {"lib", "kernel", "traffic"},
    "fastpath": {"lib", "kernel", "fastpath"},
    "fabric": {"lib", "kernel", "subnet", "backends", "traffic", "fastpath", "fabric"},
    "flanneld": {"lib", "kernel", "subnet", "stores", "backends", "traffic", "fastpath", "fabric", "flanneld"},
    "fabricctl": {"lib", "kernel", "subnet", "stores", "fabricctl", "backends/backend.h", "fabric/plugin_find.h", "fabric/look.h", "traffic/chains.h"},
    "cni-plugin": {"lib", "kernel", "cni-plugin", "subnet/subnet_env.h"},
    "mk-docker-opts": {"lib", "kernel", "subnet/subnet_env.h"},
    "install-conf": {"lib"},
}

# Each has a safe counterpart: posix_spawn, snprintf, fgets, malloc, strtol.
FORBIDDEN = ["system", "popen", "strcpy", "strcat", "sprintf", "gets", "alloca", "atoi"]

# What takes long to load. libcurl is loaded by lib/curl.c, when the first call is made, libprotobuf-c by lib/protobuf.c.
MUST_NOT_LINK = {
    "flannel": ["libcurl", "libprotobuf", "libevent", "libnftables", "libnftnl"],
    "fabricctl": ["libcurl", "libprotobuf", "libcrypto"],
    "flanneld": ["libcurl", "libprotobuf", "libcrypto"],
}

CPPCHECK_SUPPRESS = [
    "missingIncludeSystem",  # system headers are not read: faster, and theirs to lint
    "unknownMacro",  # the same: macros of system headers look like syntax errors
    "preprocessorErrorDirective",
    "memleak",  # the cleanup attribute is not understood; the leak sanitizer finds the real ones
    "resourceLeak",
    "invalidPrintfArgType_uint",  # -Wformat=2 of the compilers knows the types, this only guesses
    "invalidPrintfArgType_sint",
    "readdirCalled",  # there is one thread
    "strtokCalled",
]
# Other versions format otherwise and suspect other lines: only these judge.
CLANG_FORMAT_VERSION = "14"
CPPCHECK_VERSION = "2.10"
FILE_MAX_LINES = 600
FUNCTION_MAX_LINES = 60

SKIPPED_DIRECTORIES = {".git", "__pycache__", ".pytest_cache"}


class NotHere(Exception):
    """A check cannot be made on this machine; the text says why."""


def tree(*suffixes):
    """Files of the source tree with these suffixes, build directories left out."""
    found = []
    for directory, names, files in os.walk(ROOT):
        top = pathlib.Path(directory) == ROOT
        names[:] = sorted(
            n for n in names if n not in SKIPPED_DIRECTORIES and not (top and n.startswith("build"))
        )
        for name in sorted(files):
            path = pathlib.Path(directory) / name
            if path.suffix in suffixes and not path.is_symlink():
                found.append(path.relative_to(ROOT))
    return found


def c_files():
    return [p for p in tree(".c", ".h") if p.parts[0] in LAYERS or p.parts[0] == "tests"]


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def without_comments_and_strings(text):
    """Replaced by spaces, so that line numbers stay."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def run(command):
    result = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    return result.returncode, result.stdout


def only_version(wanted, *command):
    """Another version's findings are no failures."""
    _, output = run([*command, "--version"])
    found = re.search(r"\d+(\.\d+)*", output)
    if not found or not f"{found[0]}.".startswith(f"{wanted}."):
        raise NotHere(f"{command[0]} {wanted} judges, here is {found[0] if found else output.strip()}")


def clang_format():
    only_version(CLANG_FORMAT_VERSION, "clang-format")
    files = [str(p) for p in c_files()]
    status, output = run(["clang-format", "--dry-run", "-Werror", *files])
    if status:
        bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", output, re.M)))
        yield from (f"{name}: not as clang-format has it (make format)" for name in bad or [output])


def include_direction():
    for path in c_files():
        allowed = MAY_INCLUDE.get(path.parts[0])
        if allowed is None:
            continue
        for number, line in enumerate(text_of(path).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if match and match[1].split("/")[0] not in allowed and match[1] not in allowed:
                yield f"{path}:{number}: {path.parts[0]} must not include {match[1]}"


def include_paths_start_at_the_root():
    for path in c_files():
        for number, line in enumerate(text_of(path).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            # A header that is made from a description of messages stands where that does.
            if match and not (ROOT / re.sub(r"\.pb-c\.h$", ".proto", match[1])).is_file():
                yield f'{path}:{number}: "{match[1]}" is not a path from the root of the tree'


def own_header_first():
    """The header of the same name, or the internal one that includes it."""
    for path in c_files():
        header = path.with_suffix(".h")
        if path.suffix != ".c" or not (ROOT / header).exists():
            continue
        first = re.search(r'^\s*#\s*include\s*(["<][^">]+)', text_of(path), re.M)
        if not first or not re.fullmatch(rf'"({re.escape(str(header))}|{path.parent}/\w+_internal\.h)', first[1]):
            yield f"{path}: the first include must be {header}"


def headers_are_self_contained():
    compiler = os.environ.get("LINT_CC", "gcc")
    flags = shlex.split(os.environ.get("LINT_CPPFLAGS", "-D_GNU_SOURCE -I."))
    for path in c_files():
        if path.suffix != ".h" or path.parts[0] == "tests":
            continue
        status, output = run(
            [compiler, *flags, "-std=gnu17", "-fsyntax-only", "-Wno-pragma-once-outside-header",
             "-x", "c", "-include", str(path), "/dev/null"]
        )  # fmt: skip
        if status:
            yield f"{path} does not compile on its own:\n{output}"


def no_warnings_of_the_other_compiler():
    """The build uses gcc; clang sees other things."""
    flags = shlex.split(os.environ.get("LINT_CPPFLAGS", "-D_GNU_SOURCE -I."))
    warnings = shlex.split(os.environ.get("LINT_WARN", "-Wall -Wextra"))
    # Programs for the kernel's machine are its own work anyway.
    files = [str(p) for p in c_files() if p.suffix == ".c" and not p.name.endswith(".bpf.c")]
    half = len(files) // 2
    with ThreadPoolExecutor(2) as pool:
        for status, output in pool.map(
            lambda part: run(
                ["clang", *flags, '-DVERSION=""', "-std=gnu17", *warnings, "-Werror", "-fsyntax-only", *part]
            ),
            [files[:half], files[half:]],
        ):
            if status:
                yield output


def functions(path, text):
    """(name or line, length) of each. In C a function's braces stand alone in the first column."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                yield node.name, node.end_lineno - node.lineno + 1
        return
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            yield start, number - start + 1
            start = None


def nothing_is_too_long():
    for path in [*c_files(), *tree(".py")]:
        text = text_of(path)
        lines = text.count("\n")
        if lines > FILE_MAX_LINES:
            yield f"{path}: {lines} lines, {FILE_MAX_LINES} at most: two things in one file?"
        for function, length in functions(path, text):
            if length > FUNCTION_MAX_LINES:
                yield f"{path}:{function}: {length} lines, {FUNCTION_MAX_LINES} at most"


def license_line():
    for path in [*c_files(), *tree(".py", ".sh", ".mk", ".service")]:
        head = text_of(path).splitlines()[:2]
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
            yield f"{path}: no SPDX line at the top"


def forbidden_functions():
    pattern = re.compile(rf"(?<![\w.>])({'|'.join(FORBIDDEN)})\s*\(")
    for path in c_files():
        code = without_comments_and_strings(text_of(path))
        for number, line in enumerate(code.splitlines(), 1):
            for match in pattern.finditer(line):
                yield f"{path}:{number}: {match[1]}() is not used here"


def no_unfinished_work():
    marks = re.compile(r"\b(" + "|".join(["TO" "DO", "FIX" "ME", "XX" "X"]) + r")\b")
    for path in [*c_files(), *tree(".py", ".sh", ".mk", ".md")]:
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if marks.search(line):
                yield f"{path}:{number}: {line.strip()}"


def programs_link_little():
    built = [name for name in MUST_NOT_LINK if (BUILD / name).exists()]
    complaints = []
    for name in built:
        status, output = run(["readelf", "-d", str(BUILD / name)])
        if status:
            complaints.append(output)
        for library in re.findall(r"\(NEEDED\).*\[(.+?)\]", output):
            if library.startswith(tuple(MUST_NOT_LINK[name])):
                complaints.append(f"{name} links {library}, and starts slowly")
    return complaints if built else None


def cppcheck():
    only_version(CPPCHECK_VERSION, "cppcheck")
    directories = [d for d in [*LAYERS, "stores/etcd", "tests/unit", "tests/fuzz"] if list((ROOT / d).glob("*.c"))]
    cache = BUILD / "tests" / "cppcheck"
    cache.mkdir(parents=True, exist_ok=True)
    status, output = run(
        ["cppcheck", "--enable=warning,performance,portability", "--error-exitcode=1", "--quiet",
         "--inline-suppr", "--std=c11", "--library=posix", "--library=gnu", "-j2", "-I.",
         "-D_GNU_SOURCE", '-DVERSION=""', "--include=tests/cppcheck.h", f"--cppcheck-build-dir={cache}", "--template=gcc",
         *(f"--suppress={s}" for s in CPPCHECK_SUPPRESS), *(f"-i{p}" for p in tree(".c") if p.name.endswith(".bpf.c")), *directories]
    )  # fmt: skip
    if status:
        yield output


def python_compiles():
    for path in tree(".py"):
        try:
            compile(text_of(path), str(path), "exec")
        except SyntaxError as error:
            yield f"{path}:{error.lineno}: {error.msg}"


def shell_compiles():
    scripts = [p for p in tree(".sh", "") if text_of(p)[:40].startswith(("#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash"))]
    for path in scripts:
        status, output = run(["bash", "-n", str(path)])
        if status:
            yield output


CHECKS = [
    clang_format,
    include_direction,
    include_paths_start_at_the_root,
    own_header_first,
    headers_are_self_contained,
    no_warnings_of_the_other_compiler,
    nothing_is_too_long,
    license_line,
    forbidden_functions,
    no_unfinished_work,
    programs_link_little,
    cppcheck,
    python_compiles,
    shell_compiles,
]


def run_all():
    """(name, result) of each check: "" if all is well, NotHere or None if it was not possible, else the complaints."""
    for check in CHECKS:
        try:
            complaints = check()
            result = None if complaints is None else "\n".join(complaints)
        except NotHere as reason:
            result = reason
        except OSError as error:
            result = f"{error}"
        yield check.__name__.replace("_", " "), result
