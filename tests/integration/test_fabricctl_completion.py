# SPDX-License-Identifier: Apache-2.0
"""Completion of fabricctl in the shells themselves: words of the tables, and names that the daemon knows."""

import os
import pty
import select
import shlex
import shutil
import socket
import subprocess
import time

import pytest

from fabric import FABRICCTL, ROOT
from fabricctl_support import COMMANDS, ENVIRONMENT, OK, fabricctl, put_lease, two

SCRIPTS = ROOT / "docs" / "completion"
SHELLS = ("bash", "zsh", "fish")
# Outside of the line editor: what a completion function gets, and what it would add.
ZSH = """
compadd() { [[ $1 == -- ]] && shift; printf '%s\\n' $@ }
_describe() { [[ $1 == -o ]] && shift; local entry; for entry in ${(P)2}; do printf '%s\\n' ${entry%%:*}; done }
_files() { printf '%s\\n' FILES }
_message() { : }
compset() { PREFIX=${PREFIX#*=} }
compdef() { : }
"""


def completed(shell, line, **environment):
    """The words that the shell offers at the end of the line, those that do not fit left out."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    words = [str(FABRICCTL), *line.split(" ")[1:]]
    script = SCRIPTS / f"fabricctl.{shell}"
    if shell == "bash":
        program = (
            f"source {script}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; "
            "_fabricctl; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
    elif shell == "zsh":
        program = f"{ZSH}source {script}; words=({shlex.join(words)}); CURRENT={len(words)}; PREFIX={shlex.quote(words[-1])}; _fabricctl"
    else:
        program = f"source {script}; complete -C {shlex.quote(' '.join(words))}"
    argv = [shell, *(["-f"] if shell == "zsh" else ["--norc"] if shell == "bash" else ["--no-config"]), "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=ENVIRONMENT | environment, cwd=SCRIPTS)
    assert done.stderr == "", done.stderr
    begun = words[-1].split("=")[-1] if words[-1].startswith("--") and "=" in words[-1] else words[-1]
    offered = (word.split("\t")[0].split("=")[-1] for word in done.stdout.splitlines())
    return {word for word in offered if word.startswith(begun)} - {""}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fabricctl st", {"status", "store"}),
        ("fabricctl ", set(COMMANDS)),
        ("fabricctl subnets -o ", {"table", "wide", "json", "jsonl", "yaml", "raw", "name", "dot", "prom-sd"}),
        ("fabricctl --socket /x status -o ", {"table", "json", "yaml", "env"}),
        ("fabricctl status --output ", {"table", "json", "yaml", "env"}),
        ("fabricctl subnets --etcd-pa", {"--etcd-password-file"}),
        ("fabricctl status --etcd-pa", set()),
        ("fabricctl config ", {"check", "set", "show"}),
        ("fabricctl lease re", {"renew", "release", "reserve"}),
        ("fabricctl --color ", {"auto", "always", "never"}),
        ("fabricctl help con", {"config"}),
        ("fabricctl subnets --sort no", {"node", "node-id"}),
        ("fabricctl completion z", {"zsh"}),
        ("fabricctl doctor --fi", {"--fix"}),
        ("fabricctl events --since ", set()),
    ],
)
def test_words_of_the_tables(shell, line, expected):
    assert completed(shell, line) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_files(shell):
    offered = completed(shell, "fabricctl config check fab")
    assert offered == ({"fabricctl.bash", "fabricctl.fish", "fabricctl.zsh"} if shell != "zsh" else set())
    if shell == "zsh":
        assert completed(shell, "fabricctl config check ") == completed(shell, "fabricctl --cni-plugin ") == {"FILES"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_value_after_an_equals_sign(shell):
    assert completed(shell, "fabricctl subnets --color=a") == {"auto", "always"}


@pytest.mark.parametrize("shell", SHELLS)
def test_names_that_the_daemon_knows(lab, two, shell):
    put_lease(lab, "10.5.251.0-24", "192.0.2.251", name="$(touch owned)`touch owned`")
    two[0].daemon.wait_peers(3)
    at = {"FLANNELD_SOCKET": str(two[0].daemon.socket_path)}
    subnets = {h.daemon.status()["lease"]["subnet"] for h in two} | {"10.5.250.0/24", "10.5.251.0/24"}
    assert completed(shell, "fabricctl lease unreserve ", **at) == subnets
    assert completed(shell, "fabricctl ip 192.0.2.25", **at) == {"192.0.2.250", "192.0.2.251"}
    # A name that a shell could take for an order is none to choose.
    assert completed(shell, "fabricctl lease reserve --node ", **at) == {"h1", "h2"}
    assert not (SCRIPTS / "owned").exists()
    assert completed(shell, "fabricctl lease unreserve ", FLANNELD_SOCKET="/nonexistent") == set()


def test_silent_and_quick_where_nobody_answers(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen(4)
        begin = time.monotonic()
        done = fabricctl("completion", "nodes", "--socket", tmp_path / "sock")
        assert (done.returncode, done.stdout, done.stderr) == (OK, "", "") and time.monotonic() - begin < 2
    done = fabricctl("completion", "nodes", "--config-file", "/nonexistent")
    assert (done.returncode, done.stdout, done.stderr) == (OK, "", "")


def test_tab_in_a_zsh(tmp_path):
    """As it is installed: found in a directory of fpath, under the name of its function."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    (tmp_path / "_fabricctl").write_bytes((SCRIPTS / "fabricctl.zsh").read_bytes())
    os.symlink(FABRICCTL, tmp_path / "fabricctl")
    environment = ENVIRONMENT | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb"}
    leader, follower = pty.openpty()
    process = subprocess.Popen(["zsh", "-f", "-i"], stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True)
    os.close(follower)
    seen = ""

    def until(text):
        nonlocal seen
        end = time.monotonic() + 20
        while text not in seen and time.monotonic() < end:
            if select.select([leader], [], [], 0.1)[0]:
                seen += os.read(leader, 65536).decode(errors="replace")
        assert text in seen, seen

    try:
        os.write(leader, f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D; echo rea''dy\n".encode())
        until("ready")
        os.write(leader, b"fabricctl vers\t")
        until("fabricctl version")
        os.write(leader, b"-o js\t\n")
        until("-o json")
        until('"flanneld"')
    finally:
        process.kill()
        process.wait(10)
        os.close(leader)
