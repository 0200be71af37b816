# SPDX-License-Identifier: Apache-2.0
"""fabricctl store watch: every change as the store tells it, and what goes over the wire for that."""

import json
import re
import signal

import pytest

from etcd import PREFIX
from fabric import CONFIG, FABRICCTL
from fabricctl_support import NO_STORE, USAGE, Underlay, Watch, assert_three_lines, fabricctl, put_lease
from netns import end_process


def watch_argv(lab, *args):
    return [FABRICCTL, "store", "watch", "--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null", *args]


@pytest.fixture
def store(lab):
    lab.start_etcd()
    lab.configure()
    return lab


@pytest.mark.parametrize("transport, call, stream", [("grpc", "etcdserverpb.KV/Range", "etcd-stream"), ("json", "v3/kv/range", None)])
def test_every_change_and_the_wire(store, transport, call, stream):
    put_lease(store, "10.5.240.0-24", "192.0.2.240", name="first")
    with Watch(*store.underlay.argv(*watch_argv(store, "--etcd-transport", transport))) as watch:
        watch.wait(r" list +\d+  1 leases, 0 keys that are none$")
        watch.wait(r" live ")
        put_lease(store, "10.5.241.0-24", "192.0.2.241", name="web")
        watch.wait(rf" put +{store.etcd.revision()}  10\.5\.241\.0/24: web at 192\.0\.2\.241, unbound, vxlan$")
        store.etcd.delete(f"{PREFIX}/subnets/10.5.240.0-24")
        watch.wait(rf" delete +{store.etcd.revision()}  10\.5\.240\.0/24$")
        store.etcd.put(f"{PREFIX}/subnets/nonsense\x1b", "{}")
        watch.wait(r" junk .*nonsense\?: ")
        store.configure(CONFIG | {"SubnetLen": 25})
        watch.wait(r" config ")
        store.etcd.kill()
        watch.wait(r" lost ")
        store.etcd.start()
        watch.wait(r" live ", 20)
        end_process(watch.process)
        wire = watch.process.stderr.read()
    assert re.search(rf"etcd-call: POST http://\S+{call} .*, \d+ bytes: HTTP 200, .*\d+ bytes, \d+ ms", wire), wire
    if stream:
        assert re.search(rf"{stream}: http://\S+: \d+ bytes, 1 events, revision \d+, \d+ ms", wire), wire


def test_an_object_a_line(store):
    with Watch(*store.underlay.argv(*watch_argv(store, "-o", "json"))) as watch:
        watch.wait('"live"')
        put_lease(store, "10.5.241.0-24", "192.0.2.241", name="web")
        watch.wait('"put"')
        put = json.loads(watch.lines[-1])
    assert [json.loads(line)["type"] for line in watch.lines] == ["list", "live", "put"]
    assert put["revision"] == str(store.etcd.revision()) and put["lease"]["subnet"] == "10.5.241.0/24"


def test_a_history_that_is_gone_is_listed_anew(store):
    with Watch(*store.underlay.argv(*watch_argv(store))) as watch:
        watch.wait(" live ")
        watch.process.send_signal(signal.SIGSTOP)
        store.etcd.kill()
        store.etcd.start()
        for last in (241, 242):
            put_lease(store, f"10.5.{last}.0-24", f"192.0.2.{last}")
        store.etcd.compact()
        watch.process.send_signal(signal.SIGCONT)
        watch.wait(" resync ", 20)
        watch.wait(r" list +\d+  2 leases", 20)


def test_a_directory(tmp_path):
    environment = {"FLANNELD_STORE": f"file:{tmp_path / 'store'}"}
    set_config = ["config", "set", "-", "--config-file", "/dev/null"]
    assert fabricctl(*set_config, env=environment, input='{"Network": "10.5.0.0/16"}').returncode == 0
    argv = ["env", *(f"{k}={v}" for k, v in environment.items()), FABRICCTL, "store", "watch", "--config-file", "/dev/null"]
    with Watch(*argv) as watch:
        watch.wait(r" list +\d+  0 leases")
        reserve = ["lease", "reserve", "10.5.3.0/24", "--node", "x", "--config-file", "/dev/null"]
        assert fabricctl(*reserve, env=environment).returncode == 0
        watch.wait(r" put +\d+  10\.5\.3\.0/24: x")


def test_nobody_there_and_what_it_has_not(lab):
    where = ["--etcd-endpoints", "http://192.0.2.77:2379", "--config-file", "/dev/null"]
    done = fabricctl("store", "watch", *where, where=Underlay(lab))
    assert done.returncode == NO_STORE
    assert_three_lines("".join(x for x in done.stderr.splitlines(True) if " debug etcd-" not in x), "cannot reach", "", "--etcd-endpoints")
    for option in (["-o", "raw"], ["--no-headers"]):
        assert fabricctl("store", "watch", *where, *option).returncode == USAGE
