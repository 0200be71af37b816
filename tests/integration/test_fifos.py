# SPDX-License-Identifier: Apache-2.0
"""A FIFO in place of each file that is read or written: opened as a file it would be waited for, for ever. It is named."""

import os
import re

import pytest

import cni_support
from fabric import APART, FABRICCTL
from netns import run, wait_for

NAMED = "FIFO"


def fifo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one step: what is missing for a moment is written anew.
    made = path.with_name(f"{path.name}.made")
    os.mkfifo(made, 0o600)
    os.replace(made, path)
    return path


# ---- the daemon


@pytest.fixture
def daemon(lab):
    lab.start_etcd()
    lab.configure(APART)
    return lab.host().make_daemon()


@pytest.mark.parametrize("flag", ["config_file", "etcd_password_file", "etcd_cafile", "etcd_certfile", "etcd_keyfile"])
def test_files_of_flags_of_the_daemon(daemon, flag):
    """It does not start, and says which file."""
    path = fifo(daemon.directory / "pipe")
    daemon.flags |= {flag: path} | ({"etcd_username": "root"} if "password" in flag else {})
    daemon.start()
    assert daemon.wait_exit() != 0
    assert NAMED in daemon.log() and str(path) in daemon.log()


def test_files_of_the_state(daemon):
    """Without what was known it asks the store; without knowing who it is it does not start, and the data path stays."""
    daemon.start().wait_ready()
    daemon.stop()
    state = daemon.directory / "state"
    assert (state / "last-known.json").is_file() and (state / "node-id").is_file()
    fifo(state / "last-known.json")
    daemon.start().wait_ready()
    assert re.search(rf"last-known.json.*{NAMED}", daemon.log())
    daemon.stop()
    fifo(state / "node-id")
    daemon.start()
    assert daemon.wait_exit() == 1
    assert re.search(rf"node-id.*{NAMED}", daemon.log()) and daemon.host.link()


def test_subnet_file_that_becomes_a_fifo(daemon):
    daemon.start().wait_ready()
    fifo(daemon.subnet_file)
    wait_for(lambda: daemon.subnet_file.is_file(), 5, "a file again")
    daemon.wait_ok()


def test_journal_of_the_file_store(lab):
    """At the start of the daemon, and while it runs; what it knew holds."""
    store = lab.directory / "store"
    store.mkdir()
    (store / "config").write_text('{"Network":"10.5.0.0/16"}')
    daemon = lab.host().make_daemon(store=f"file:{store}")
    daemon.start().wait_ready()
    journal = (store / "journal").read_bytes()
    fifo(store / "journal")
    daemon.wait_status(lambda s: any(NAMED in p["text"] for p in s["problems"]), 10, "it is named")
    daemon.kill()
    daemon.start().wait_log(NAMED)
    assert daemon.host.link()  # of what it remembers
    (store / "journal").unlink()
    (store / "journal").write_bytes(journal)
    daemon.wait_ok()


def test_file_store_that_is_read_only(lab):
    """What is in it is read, by the daemon that starts and by the tool; what cannot be written is named, until it can."""
    store = lab.directory / "store"
    store.mkdir()
    (store / "config").write_text('{"Network":"10.5.0.0/16"}')
    host = lab.host()
    daemon = host.start_daemon(store=f"file:{store}")
    subnet = daemon.subnet()
    daemon.stop()
    frozen = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    daemon.wrapper = ["sh", "-c", frozen, "sh", str(store)]
    daemon.start().wait_status(lambda s: any("Read-only" in p["text"] for p in s["problems"]), 10, "it is named")
    assert host.link() and daemon.subnet() == subnet
    conf = lab.directory / "conf"
    conf.write_text(f"store = file:{store}\n")
    listed = run("unshare", "-m", *daemon.wrapper, FABRICCTL, "subnets", "--store", f"--config-file={conf}")
    assert subnet in listed
    run("nsenter", "--mount", "--target", daemon.pid, "mount", "-o", "remount,bind,rw", store)
    daemon.wait_ok()


# ---- the operator's tool


@pytest.mark.parametrize("flag", ["config-file", "etcd-password-file", "etcd-cafile"])
def test_files_of_flags_of_fabricctl(tmp_path, flag):
    path = fifo(tmp_path / "pipe")
    more = ["--etcd-username=root"] if "password" in flag else []
    more += [] if flag == "config-file" else ["--config-file=/dev/null"]
    done = run(FABRICCTL, "subnets", "--store", f"--{flag}={path}", *more, check=False, timeout=10)
    assert done.returncode not in (0, 3) and NAMED in done.stderr and str(path) in done.stderr, done.stderr


# ---- the plugin


@pytest.fixture
def host():
    with cni_support.Host() as one:
        yield one


@pytest.mark.parametrize("name", ["last_reserved_ip.0", "lock"])
def test_files_of_the_pool(host, name):
    """Where to go on is a help, no more; a lock is one whatever it is."""
    conf, ns = host.flannel(), host.namespace()
    fifo(host.pool_dir / "net1" / name)
    result = host.add(conf, ns)
    host.delete(conf, ns, prev=result)
    assert host.reservations() == {}


def test_file_of_a_record_that_is_being_written(host):
    conf, ns = host.flannel(), host.namespace()
    fifo(host.data_dir / "@net1" / ".c1@eth0")
    result = host.add(conf, ns)
    assert host.check(conf, ns, result).ok
    host.delete(conf, ns)
    assert host.leftovers() == {}


def test_record_that_is_a_fifo(host):
    conf, ns = host.flannel(), host.namespace()
    result = host.add(conf, ns)
    record = fifo(host.data_dir / "@net1" / "c1@eth0")
    outcome = host.check(conf, ns, result)
    assert not outcome.ok and str(record) in outcome.text, outcome
    outcome = host.run("DEL", conf | {"prevResult": result}, ns)
    record.unlink(missing_ok=True)
    host.delete(conf, ns, prev=result)
    assert host.leftovers() == {}


# ---- directories that cannot be written


@pytest.mark.parametrize(("options", "fill", "why"), [("ro,size=64k", 0, "Read-only"), ("size=64k", 1, "No space left")])
@pytest.mark.parametrize("which", ["data_dir", "pool_dir"])
def test_directories_of_the_plugin(host, which, options, fill, why):
    """/var/lib is read-only or full: ADD says so and leaves nothing, DEL has nothing to do."""
    conf, ns = host.flannel(), host.namespace()
    directory = getattr(host, which)
    directory.mkdir(parents=True, exist_ok=True)
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" || exit 99\n[ "$3" = 0 ] || head -c 1M /dev/zero >"$2/fill" 2>/dev/null\n'
    wrapper = host.directory / "wrapper"
    wrapper.write_text(f"#!/bin/sh\nset -- '{options}' '{directory}' {fill}\n{script}exec unshare -m '{cni_support.PLUGIN}'\n")
    outer = host.directory / "outer"
    outer.write_text(f"#!/bin/sh\nexec unshare -m sh '{wrapper}'\n")
    for file in (wrapper, outer):
        file.chmod(0o755)
    outcome = host.run("ADD", conf, ns, plugin=outer)
    assert not outcome.ok and why in outcome.text and str(directory) in outcome.text, outcome
    assert host.veths() == []
    outcome = host.run("DEL", conf, ns, plugin=outer)
    assert outcome.ok, outcome
    assert host.leftovers() == {}
