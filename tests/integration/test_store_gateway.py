# SPDX-License-Identifier: Apache-2.0
"""etcd endpoints without the JSON gateway: served by gRPC; by JSON alone named with the option that gives them one, and
others used in their place. And endpoints that pass nothing on but HTTP/1.1: served by the gateway."""

import functools
import json
import os
import re
import subprocess

import pytest

from etcd import PREFIX
from fabric import APART, FABRICCTL
from fabricctl_support import FOUND, NO_STORE, Underlay, fabricctl
from netns import end_process, stays, wait_for
from witness import made_up_lease

OPTION = "--enable-grpc-gateway=true"
ADDRESS = "192.0.2.221"
URL = f"http://{ADDRESS}:2379"


def arguments(shape, etcd, directory):
    own = {
        "name": "single",
        "data-dir": str(directory / "data"),
        "listen-client-urls": URL,
        "advertise-client-urls": URL,
        "listen-peer-urls": "http://127.0.0.1:2380",
        "initial-advertise-peer-urls": "http://127.0.0.1:2380",
        "initial-cluster": "single=http://127.0.0.1:2380",
        "enable-grpc-gateway": False,
    }
    if shape == "grpc-proxy":
        member = f"{etcd.members[0].address}:2379"
        listens = f"{ADDRESS}:2379"  # where newer proxies look for themselves, and end if they do not find it
        return ["grpc-proxy", "start", f"--endpoints={member}", f"--listen-addr={listens}", f"--advertise-client-url={listens}"]
    if shape == "configuration file":
        file = directory / "etcd.json"
        file.write_text(json.dumps(own))
        return ["--config-file", file]
    return [f"--{key}={str(value).lower() if value is False else value}" for key, value in own.items()]


@pytest.fixture(params=["switched off", "configuration file", "grpc-proxy"])
def without(request, lab):
    """A server without a gateway at URL; an ordinary etcd runs elsewhere."""
    etcd = lab.start_etcd()
    lab.configure(APART)
    namespace = lab.plug("nogw", ADDRESS)
    directory = lab.directory / "nogw"
    directory.mkdir()
    with (directory / "log").open("wb") as log:
        process = namespace.popen("etcd", *arguments(request.param, etcd, directory), stdout=log, stderr=log)
    lab.closers.callback(end_process, process)
    listens = ["socat", "-u", "/dev/null", f"TCP:{ADDRESS}:2379"]
    wait_for(lambda: subprocess.run(namespace.argv(*listens), check=False).returncode == 0, 15, "it listens")
    return etcd


def test_the_daemon_says_what_to_do(lab, without):
    daemon = lab.host().start_daemon(ready=False, etcd_endpoints=URL, etcd_transport="json")
    problem = daemon.wait_status(lambda s: [p for p in s["problems"] if OPTION in p["text"]], what="a problem that says so")
    only = next(p for p in problem["problems"] if OPTION in p["text"])
    assert URL in only["text"] and only["severity"] == "error" and "store-endpoint" not in daemon.problems()
    daemon.wait_log(f"(waiting-for-config|store-unavailable): .*{OPTION}")


def test_others_are_used_in_its_place(lab, without):
    daemon = lab.host().start_daemon(etcd_endpoints=f"{URL},{without.endpoints}", etcd_transport="json")
    key, value = made_up_lease(1)
    without.put(PREFIX + key, value)
    lab.wait_equal(1)
    problem = next(p for p in daemon.status()["problems"] if p["name"] == "store-endpoint")
    assert problem["severity"] == "warning"
    assert URL in problem["text"] and OPTION in problem["text"] and "place" in problem["text"]
    assert daemon.log().count("store-endpoint") == 1


def asked(lab, *command, endpoints=URL, transport="json"):
    where = ["--etcd-endpoints", endpoints, "--etcd-transport", transport, "--config-file", "/dev/null", "--state-dir", lab.directory]
    return fabricctl(*command, *where, where=Underlay(lab), stdin=subprocess.DEVNULL)


def test_fabricctl_says_it_too(lab, without):
    (lab.directory / "node-id").write_text("0123456789abcdef\n")
    (lab.directory / "config").write_text(json.dumps(APART))
    for command in (
        "store ping",
        "store dump",
        "subnets --store",
        "lease show --store",
        "lease release --yes",
        "lease reserve 10.5.3.0/24 --node h3",
        "config show --store",
        f"config set {lab.directory}/config --yes",
    ):
        done = asked(lab, *command.split())
        assert done.returncode == NO_STORE, (command, done)
        what, why, hint = done.stderr.splitlines()
        assert URL in what and OPTION in why and "grpc-proxy" in why and "\n" not in why, (command, done.stderr)
    ping = asked(lab, "store", "ping", endpoints=f"{URL},{without.endpoints}")
    assert ping.returncode == FOUND
    bad, good = ping.stdout.splitlines()[1:]
    assert "failed" in bad and OPTION in bad and " ok " in good
    assert asked(lab, "subnets", "--store", endpoints=f"{URL},{without.endpoints}").returncode == 0


def test_by_grpc_nothing_is_missing(lab, without, request):
    """A lease is claimed and kept, changes are told; behind a proxy the watch is well for longer than it takes to doubt it."""
    transport = "auto"
    config = json.dumps(APART)
    put = ["etcdctl", "--endpoints", URL, "put"]
    run_etcdctl = functools.partial(lab.etcd.namespace.run, env=os.environ | {"ETCDCTL_API": "3"})
    run_etcdctl(*put, f"{PREFIX}/config", config)
    daemon = lab.host().start_daemon(etcd_endpoints=URL, etcd_transport=transport)
    key, value = made_up_lease(1)
    run_etcdctl(*put, PREFIX + key, value)
    wait_for(lambda: daemon.status()["peers"] == 1, 10, "the new lease is a peer")
    if "grpc-proxy" in request.node.name:
        stays(lambda: daemon.status()["store"]["watchLive"], 12, "the watch is live")
    (endpoint,) = daemon.status()["store"]["endpoints"]
    assert endpoint["transport"] == "grpc" and endpoint["errors"] == 0
    done = asked(lab, "store", "ping", transport=transport)
    assert done.returncode == 0 and " grpc " in done.stdout and OPTION not in done.stdout
    assert daemon.subnet() in asked(lab, "subnets", "--store", transport=transport).stdout


def behind_http1(lab, scheme):
    """A load balancer of HTTP/1.1 in front of etcd: where it is, and what is needed to trust it."""
    etcd = lab.start_etcd()
    lab.configure(APART)
    if scheme == "http":
        proxy = lab.proxy()
        proxy.set("http1")
        return proxy.endpoint, {}
    tls = lab.certificates()
    tls.issue("balancer", tls.server_cert, tls.server_key, f"subjectAltName=IP:{ADDRESS}", "serverAuth")
    where = f"OPENSSL-LISTEN:2379,reuseaddr,fork,verify=0,cert={tls.server_cert},key={tls.server_key}"
    namespace = lab.plug("balancer", ADDRESS)
    process = namespace.popen("socat", where, f"TCP:{etcd.members[0].address}:2379")
    lab.closers.callback(end_process, process)
    # Its port is looked at and not connected to: it would take what ends at once for an error of TLS.
    wait_for(lambda: ":2379" in namespace.run("ss", "-Hltn"), 15, "it listens")
    return f"https://{ADDRESS}:2379", {"etcd_cafile": tls.ca}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_by_json_behind_a_balancer_of_http_1(lab, scheme):
    """Nothing is to be configured: it is seen, said everywhere with why, and is no problem."""
    url, flags = behind_http1(lab, scheme)
    host = lab.host()
    daemon = host.start_daemon(etcd_endpoints=url, etcd_transport="auto", **flags)
    key, value = made_up_lease(1)
    lab.etcd.put(PREFIX + key, value)
    lab.wait_equal(1)
    daemon.wait_ok()
    (endpoint,) = daemon.status()["store"]["endpoints"]
    why = "does not speak gRPC: it " + ("does not take HTTP/2" if scheme == "http" else "answers in HTTP/1")
    assert endpoint["transport"] == "json" and endpoint["transport_reason"] == why and endpoint["errors"] == 0, endpoint
    assert daemon.metric('flannel_store_endpoints{transport="json"}') == 1
    assert daemon.metric(f'flannel_store_endpoint_info{{url="{url}",transport="json",reason="{why}"}}') == 1
    shown = host.namespace.run(FABRICCTL, "status", "--socket", daemon.socket_path)
    assert f"{url} (in use), by json (it {why})" in shown
    trusted = [f"--etcd-cafile={flags['etcd_cafile']}"] if flags else []
    ping = asked(lab, "store", "ping", *trusted, endpoints=url, transport="auto")
    assert ping.returncode == 0 and re.search(rf"{url} +ok +json .* {why}", ping.stdout), ping
