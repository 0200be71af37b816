# SPDX-License-Identifier: Apache-2.0
"""fabricctl as a program: help, and every way in which it can go wrong."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from fabric import FABRICCTL, FLANNELD
from fabricctl_support import (
    COMMANDS,
    DENIED,
    ENVIRONMENT,
    FAILED,
    NO_DAEMON,
    OK,
    USAGE,
    ask,
    assert_three_lines,
    fabricctl,
    on_a_terminal,
    put_lease,
    two,
)


# ---- version, help


def test_version(lab, two):
    h1, _ = two
    ours = ask(h1, "version")
    match = re.fullmatch(r"fabricctl (\S+) \(flanneld (\S+), api fabric/v1\)\n", ours)
    assert match and match[2] == h1.daemon.status()["version"]
    assert json.loads(ask(h1, "version", "-o", "json"))["flanneld"] == match[2]
    h1.daemon.stop()
    assert ask(h1, "version") == f"fabricctl {match[1]} (flanneld not running, api fabric/v1)\n"
    answer = json.loads(ask(h1, "version", "-o", "json"))
    assert answer["fabricctl"] == match[1] and answer["flanneld"] is None
    assert ask(h1, "--version").startswith("fabricctl ")


def commands():
    text = fabricctl("help").stdout
    listed = text.split("commands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\S+)", listed, re.M)


def test_help():
    assert commands() == COMMANDS
    assert fabricctl("--help").stdout == fabricctl("help").stdout == fabricctl("-h").stdout
    for command in commands():
        done = fabricctl("help", command)
        assert done.returncode == OK and done.stdout.startswith(f"fabricctl {command}: ")
        assert fabricctl(command, "--help").stdout == done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 120
    done = fabricctl()
    assert done.returncode == USAGE and done.stdout == "" and "commands:" in done.stderr
    assert fabricctl("help", "frobnicate").returncode == USAGE
    assert fabricctl("help", "lease", "reserve").stdout == fabricctl("help", "lease").stdout
    assert fabricctl("help", "config", "set").returncode == OK


@pytest.mark.parametrize(
    ("line", "nearest"),
    [("lease reserv 10.5.9.0/24", "reserve"), ("config chekc x", "check"), ("store pnig", "ping"), ("help lease shwo", "show")],
)
def test_mistyped_words_of_a_command(line, nearest):
    done = fabricctl(*line.split())
    command, word = line.removeprefix("help ").split()[:2]
    assert done.returncode == USAGE and done.stdout == ""
    assert_three_lines(done.stderr, f'no "{word}" of fabricctl {command}', f'nearest is "{nearest}"', f"help {command}")


# ---- what can go wrong


def test_daemon_that_is_not_there(tmp_path):
    path = tmp_path / "flanneld.sock"
    for command in (["subnets"], ["subnets", "-w"], ["status"], ["config", "show"]):
        done = fabricctl(*command, "--socket", path)
        assert done.returncode == NO_DAEMON and done.stdout == ""
        assert_three_lines(
            done.stderr, f"cannot reach flanneld at {path}: No such file or directory", "not running", "--store"
        )
    # A socket that a dead daemon left behind.
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(path))
    done = fabricctl("status", env={"FLANNELD_SOCKET": str(path)})
    assert done.returncode == NO_DAEMON and "Connection refused" in done.stderr
    assert fabricctl("status", "--socket", "/" + "x" * 200).returncode == NO_DAEMON


def test_misspelt_variables_are_named(tmp_path):
    """Not the daemon's own ones, which fabricctl has no use for."""
    for wrong, right in (("FLANNELD_SOKET", "FLANNELD_SOCKET"), ("FLANNELD_ETCD_ENDPOINT", "FLANNELD_ETCD_ENDPOINTS")):
        done = fabricctl("status", "--socket", tmp_path / "none", env={wrong: "x"})
        assert f"fabricctl: {wrong} in the environment is unknown; did you mean {right}?" in done.stderr
    variables = set(re.findall(r"FLANNELD_\w+", subprocess.check_output([FLANNELD, "--help"], text=True)))
    others = {v: "" for v in variables if not v.startswith(("FLANNELD_ETCD_", "FLANNELD_STORE"))}
    done = fabricctl("status", "--socket", tmp_path / "none", env=others)
    assert len(others) > 20 and "did you mean" not in done.stderr


def answering(path, answer):
    """Something that is no daemon listens there; `answer` None: it never says anything."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)

    def serve():
        kept = []
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                kept.append(connection)
                if answer is not None:
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return contextlib.closing(listener)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{x}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"apiVersion":"fabric/v9","kind":"Status"}',
        b"HTTP/1.1 503 No\r\nContent-Length: 12\r\n\r\nbad\x1b[31m day",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
    ],
)
def test_daemon_that_answers_nonsense(tmp_path, answer):
    with answering(tmp_path / "sock", answer):
        done = fabricctl("status", "--socket", tmp_path / "sock")
    assert done.returncode == NO_DAEMON and done.stdout == ""
    assert "cannot be asked" in done.stderr and "\x1b" not in done.stderr


def test_daemon_that_does_not_answer(tmp_path):
    with answering(tmp_path / "sock", None):
        done = fabricctl("version", "--socket", tmp_path / "sock")
        assert done.returncode == OK and "not running" in done.stdout
        done = fabricctl("status", "--socket", tmp_path / "sock")
    assert done.returncode == NO_DAEMON
    assert_three_lines(done.stderr, "timed out", "does not answer", "")


def test_permission_denied(lab, two):
    h1, _ = two
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    os.chmod(lab.directory, 0o755)
    binary = lab.directory / "fabricctl"
    binary.write_bytes(FABRICCTL.read_bytes())
    binary.chmod(0o755)
    done = subprocess.run(
        [binary, "status", "--socket", h1.daemon.socket_path],
        capture_output=True, text=True, check=False, timeout=30, env=ENVIRONMENT, cwd="/", **nobody,
    )  # fmt: skip
    assert done.returncode == DENIED
    assert_three_lines(done.stderr, "Permission denied", "root", "sudo")


@pytest.mark.parametrize(
    "args",
    [
        ["frobnicate"],
        ["subnets", "extra"],
        ["subnets", "--frobnicate"],
        ["subnets", "-o", "xml"],
        ["subnets", "--filter", "x"],
        ["status", "--wait", "--timeout", "soon"],
        ["status", "--timeout", "5"],
        ["status", "--watch"],
        ["config"],
        ["config", "check"],
        ["config", "show", "it"],
        ["config", "frobnicate"],
        ["config", "set"],
        ["config", "show", "--yes"],
        ["config", "check", "-", "--dry-run"],
        ["store"],
        ["store", "frobnicate"],
        ["store", "dump", "-o", "raw"],
        ["store", "ping", "--store"],
        ["peers", "it"],
        ["diff", "--dry-run"],
        ["sync", "-o", "raw"],
        ["completion"],
        ["version", "--socket"],
        ["--color", "pink", "version"],
    ],
)
def test_bad_usage(args):
    done = fabricctl(*args)
    assert done.returncode == USAGE and done.stdout == ""
    assert done.stderr.startswith("fabricctl: ")


def test_misspelt_command_names_the_nearest():
    assert_three_lines(fabricctl("subnet").stderr, 'no command "subnet"', 'nearest is "subnets"', "fabricctl subnets")


def test_output_that_nobody_reads_or_that_finds_no_room(lab, two):
    h1, _ = two
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        for args in (["help"], ["subnets"], ["status"]):
            done = fabricctl(*args, "--socket", h1.daemon.socket_path, stdout=closed, stderr=subprocess.PIPE)
            assert done.returncode == OK and done.stderr == "", args
    with open("/dev/full", "w") as full:
        done = fabricctl("help", stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == FAILED and "No space left on device" in done.stderr


def test_colours(lab, two):
    h1, _ = two
    argv = [FABRICCTL, "subnets", "--socket", h1.daemon.socket_path]
    assert "\x1b[32m" in on_a_terminal(argv)
    assert "\x1b" not in on_a_terminal(argv, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(argv, TERM="dumb")
    assert "\x1b" not in on_a_terminal([*argv, "--color=never"])
    assert "\x1b[32m" in on_a_terminal([*argv, "--color=always"], NO_COLOR="1")
    assert "\x1b" not in ask(h1, "subnets")
    assert "\x1b[32m" in ask(h1, "subnets", "--color", "always")
    assert "\x1b[32m" in ask(h1, "subnets", env={"CLICOLOR_FORCE": "1"})
    assert "\x1b" not in ask(h1, "subnets", "-o", "raw", "--color", "always")
    assert "\u25cf" not in ask(h1, "status", env={"LC_ALL": "C"})


def test_nothing_is_cut_on_a_pipe(lab, two):
    h1, _ = two
    name = "n" * 200
    put_lease(lab, "10.5.254.0-24", "192.0.2.254", name=name, lease=lab.etcd.grant(5000))
    h1.daemon.wait_peers(3)
    assert name in ask(h1, "subnets", env={"COLUMNS": "60"})
    argv = [FABRICCTL, "subnets", "--socket", h1.daemon.socket_path]
    narrow = on_a_terminal(argv, columns=120)
    assert name not in narrow and "n" * 20 in narrow
    assert all(len(re.sub(r"\x1b\[\d*m", "", line)) <= 120 for line in narrow.split("\r\n"))
    assert name in on_a_terminal([*argv, "-o", "wide"], columns=120)
