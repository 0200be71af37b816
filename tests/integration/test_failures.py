# SPDX-License-Identifier: Apache-2.0
"""One system call fails, whichever: of the daemon from its start to its first sync, of the plugin in ADD and in DEL.

tests/failures/fail_call.c, preloaded, makes the n-th call fail. What must hold for every n: no crash, no leak (with
sanitizers), no half state. The daemon gets its kernel equal to the store and says ok, or it ends with status 1 and a
sentence, and starts the next time. ADD did all or nothing; DEL, repeated, succeeds and leaves nothing.

`make check` tries some n, spread evenly; `make check-failures` (FAILURES=all) every one, FAILURES=17,18 these.
"""

import contextlib
import errno
import os
import re

import pytest

import cni_support
import witness
from etcd import PREFIX
from fabric import APART, BUILD, preloaded
from netns import run, wait_for

CHOICE = os.environ.get("FAILURES", "")
SAMPLES = 10
CONVERGE_S = 40  # what a lost notification would have told is found by comparing everything, after 30 s and what that takes
LIBRARY = BUILD / "tests" / "fail_call.so"
PLUGIN = BUILD / "tests" / "flannel"  # nothing can be preloaded into a static program
CRASHED = re.compile(r"Sanitizer|runtime error|stack smashing|Assertion|buffer overflow detected")
ERRORS = [pytest.param(0, id="usual"), pytest.param(errno.EINTR, id="interrupted"), pytest.param(errno.ENOMEM, id="memory")]


def preload(program, at, log, error=0):
    """The environment in which call number `at` of this program fails."""
    made = {"LD_PRELOAD": preloaded(LIBRARY), "FAIL_CALL_IN": program, "FAIL_CALL_AT": str(at), "FAIL_CALL_LOG": str(log)}
    return made | ({"FAIL_CALL_ERROR": str(error)} if error else {})


def chosen(count):
    """Which of so many calls are to fail."""
    if CHOICE == "all":
        return range(1, count + 1)
    if CHOICE:
        return [int(n) for n in CHOICE.split(",")]
    return sorted({1 + i * (count - 1) // (SAMPLES - 1) for i in range(SAMPLES)})


def calls(log):
    return len(log.read_text().splitlines())


class Findings:
    """What was wrong, with which call: all of it is told, not the first only."""

    def __init__(self, log):
        self.log = log
        self.found = []

    def __bool__(self):
        return bool(self.found)

    @contextlib.contextmanager
    def of(self, at):
        self.log.unlink(missing_ok=True)
        try:
            yield
        except (AssertionError, pytest.fail.Exception) as e:
            name = self.log.read_text().strip() if self.log.exists() else f"{at}"
            self.found.append(f"call {name}: {str(e)[:3000]}")
            if CHOICE:
                print(self.found[-1], flush=True)

    def check(self):
        assert not self.found, f"{len(self.found)} of the calls:\n" + "\n".join(self.found)


# ---- the daemon


class Start:
    """A host whose daemon starts from nothing again and again: no lease, no device, no file."""

    def __init__(self, lab, **flags):
        self.lab = lab
        lab.start_etcd()
        lab.configure(APART)
        for number in (1, 2, 3):
            key, value = witness.made_up_lease(number)
            lab.etcd.put(PREFIX + key, value)
        self.host = lab.host()
        self.daemon = self.host.make_daemon(**flags)
        self.log = lab.directory / "calls"  # what lies beside subnet.env is watched
        self.foreign = {record.key for record in lab.etcd.leases()}

    def nothing(self):
        """As before the first start."""
        self.daemon.kill()
        for record in self.lab.etcd.leases():
            if record.key not in self.foreign:
                self.lab.etcd.delete(record.key)
        for link in self.host.namespace.ip("link", "show"):
            if link["ifname"].startswith("flannel"):
                self.host.namespace.ip_do(f"link del {link['ifname']}")
        self.host.namespace.run("nft", "flush", "ruleset")
        for name in ("state", "subnet.env", "flanneld.sock"):
            run("rm", "-rf", self.daemon.directory / name)

    def start(self, at, error=0):
        self.daemon.wrapper = ["env", *(f"{k}={v}" for k, v in preload("flanneld", at, self.log, error).items())]
        self.daemon.start()

    def converged(self, deadline_s):
        self.daemon.wait_ready(deadline_s)
        self.lab.wait_equal(deadline_s)
        self.daemon.wait_ok(deadline_s)

    def ends_well(self):
        status = self.daemon.stop()
        assert not CRASHED.search(self.daemon.log()), self.daemon.log()[-3000:]
        assert status == 0, f"ended with status {status}: {self.daemon.log()[-1000:]}"

    def untouched(self):
        assert self.daemon.process.returncode == 1, f"status {self.daemon.process.returncode}: {self.daemon.log()[-2000:]}"
        assert self.daemon.log().strip(), "ended without a word"
        assert not self.host.objects(), f"ended with objects made: {self.daemon.log()[-1000:]}"

    def one(self, at, error):
        """The daemon converges although this call fails, or ends with a word and the next start converges."""
        self.nothing()
        self.start(at, error)
        ended = wait_for(lambda: not self.daemon.running or self._well() and "well", CONVERGE_S, "kernel equals the store")
        if ended is True:
            self.untouched()
            self.daemon.wrapper = []
            self.daemon.start()
        # With a slow program the call may be one that comes after it was well for the first time.
        self.converged(5 if ended is True else CONVERGE_S)
        self.ends_well()

    def _well(self):
        return self.daemon.status()["verdict"] == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
def test_a_call_of_the_daemon_fails(lab, error):
    start = Start(lab)
    start.start(0)
    start.converged(10)
    count = calls(start.log)
    start.ends_well()
    findings = Findings(start.log)
    for at in chosen(count):
        with findings.of(at):
            start.one(at, error)
    findings.check()


# ---- the plugin


class Attachment:
    def __init__(self, host, log):
        self.host = host
        self.log = log
        self.conf = host.flannel(ipMasq=True)
        self.conf["delegate"] = {"isDefaultGateway": True}
        self.netns = host.namespace()

    def run(self, verb, at=None, error=0, **env):
        preloaded = {} if at is None else preload("flannel", at, self.log, error)
        return self.host.run(verb, self.conf, self.netns, **({"plugin": PLUGIN} | preloaded | env))

    def nothing_left(self):
        assert not self.host.leftovers(), self.host.leftovers()
        assert set(self.netns.links()) == {"lo"}, self.netns.links().keys()

    def delete(self):
        outcome = self.run("DEL")
        assert outcome.ok, outcome
        self.nothing_left()


@pytest.fixture
def attachment():
    with cni_support.Host() as host:
        attached = Attachment(host, host.directory / "calls")
        # The first one makes the bridge and the tables, which stay.
        assert attached.run("ADD").ok
        attached.delete()
        yield attached


def judged(outcome):
    assert not CRASHED.search(outcome.stderr), outcome.stderr[-3000:]
    assert outcome.status in (0, 1), outcome
    if not outcome.ok:
        assert outcome.code and outcome.message, outcome
    return outcome.ok


@pytest.mark.parametrize("error", ERRORS)
def test_a_call_of_add_fails(attachment, error):
    assert attachment.run("ADD", 0).ok
    attachment.delete()
    count = calls(attachment.log)
    findings = Findings(attachment.log)
    for at in chosen(count):
        with findings.of(at):
            outcome = attachment.run("ADD", at, error)
            if judged(outcome):
                assert attachment.host.reservations(), outcome
            else:
                attachment.nothing_left()
            attachment.delete()
            assert attachment.run("ADD").ok
            attachment.delete()
    findings.check()


@pytest.mark.parametrize("error", ERRORS)
def test_a_call_of_del_fails(attachment, error):
    assert attachment.run("ADD").ok
    assert attachment.run("DEL", 0).ok
    attachment.nothing_left()
    count = calls(attachment.log)
    findings = Findings(attachment.log)
    for at in chosen(count):
        with findings.of(at):
            assert attachment.run("ADD").ok
            judged(attachment.run("DEL", at, error))
            attachment.delete()
    findings.check()


def test_files_of_the_plugin_may_not_grow(attachment):
    """RLIMIT_FSIZE: an answer in JSON, not the end by a signal, and nothing is left."""
    limited = attachment.host.directory / "limited"
    limited.write_text(f"#!/bin/sh\nexec prlimit --fsize=1 {cni_support.PLUGIN}\n")
    limited.chmod(0o755)
    outcome = attachment.run("ADD", plugin=limited)
    assert not judged(outcome) and "File too large" in outcome.text, outcome
    attachment.nothing_left()
    attachment.delete()


def test_a_fifo_in_place_of_subnet_env(attachment):
    """It is named; nobody waits for a writer that never comes."""
    path = attachment.host.subnet_file
    path.unlink()
    os.mkfifo(path)
    outcome = attachment.run("ADD")
    assert not judged(outcome) and "FIFO" in outcome.text and str(path) in outcome.text, outcome
    attachment.nothing_left()
