# SPDX-License-Identifier: Apache-2.0
"""The store and its configuration: missing, wrong, late, down, moved, guarded by password or certificate."""

import shutil
import subprocess

import pytest

from etcd import PREFIX, enable_auth
from fabric import APART, FABRICCTL
from fabricctl_support import ask
from faults import by_both
from netns import run, stays, wait_for
from witness import made_up_lease


def not_ready_because(daemon, *words):
    """/readyz is 503 and its text, and status, have these words."""

    def says():
        status, text = daemon.request("/readyz")
        assert status == 503
        assert all(word in text for word in words), text
        return True

    wait_for(says, 5, f"/readyz says {words}")
    status = daemon.status()
    assert status["verdict"] != "ok"
    assert all(word in status["readyReason"] for word in words)
    assert daemon.request("/healthz")[0] == 200, "not being ready is no reason to be restarted"


def test_missing_configuration_is_waited_for(lab):
    lab.start_etcd()
    host = lab.host()
    daemon = host.start_daemon(ready=False)
    not_ready_because(daemon, f"{PREFIX}/config")
    stays(lambda: daemon.running, 2.5, "the daemon waits")
    assert daemon.log().count("config-missing") == 1
    assert host.link() is None, "nothing is made before there is a configuration"
    lab.configure(APART)
    daemon.wait_ready(6)
    lab.wait_equal()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", ["network configuration"]),
        ("", ["network configuration"]),
        ("[]", ["network configuration"]),
        ("{}", ["Network"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":31}', ["SubnetLen", "31", "30"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":17}', ["SubnetLen", "17", "18"]),
        ('{"Network":"10.5.0.0/16","SubnetLen":"24"}', ["SubnetLen"]),
        ('{"Network":"10.5.0.0/16","SubnetMin":"10.6.0.0"}', ["SubnetMin", "10.6.0.0", "10.5.0.0/16"]),
        ('{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":16777216}}', ["VNI", "16777216", "16777215"]),
        ('{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","Port":65536}}', ["Port", "65536", "65535"]),
        ('{"Network":"10.5.0.0/16","Backend":{"Type":"pigeon"}}', ["pigeon", "vxlan"]),
        ('{"Network":"10.5.0.0/16","Backend":{}}', ["Backend", "Type"]),
        ('{"EnableIPv4":false,"Network":"10.5.0.0/16"}', ["EnableIPv4", "EnableIPv6"]),
    ],
)
def test_invalid_configuration_is_named_and_waited_out(lab, config, words):
    etcd = lab.start_etcd()
    etcd.set_config(config)
    daemon = lab.host().start_daemon(ready=False)
    not_ready_because(daemon, *words)
    assert not etcd.leases(), "no lease is taken for a configuration that cannot be used"
    lab.configure(APART)
    daemon.wait_ready(6)


def test_changed_configuration_is_told_and_not_used(lab, fabric3):
    h1 = fabric3[0]
    subnet = h1.daemon.subnet()
    lab.configure({"Network": "10.9.0.0/16", "Backend": {"Type": "vxlan"}})
    h1.daemon.wait_status(lambda s: "config-renumbers" in {p["name"] for p in s["problems"]}, what="config-renumbers")
    lab.wait_equal()
    assert h1.daemon.subnet() == subnet
    lab.configure(APART)
    h1.daemon.wait_ok()


def test_new_network_after_restart_leaves_nothing_of_the_old(lab, fabric3):
    for host in fabric3:
        host.daemon.stop()
        host.daemon.release()
    lab.configure({"Network": "10.9.0.0/16", "Backend": {"Type": "vxlan"}})
    for host in fabric3:
        host.daemon.start()
    for host in fabric3:
        host.daemon.wait_ready()
        wait_for(lambda d=host.daemon: d.subnet().startswith("10.9."), 5, "a subnet of the new network")
    wait_for(lambda: all(r.key.startswith(f"{PREFIX}/subnets/10.9.") for r in lab.etcd.leases()), 5, "old leases gone")
    lab.wait_equal()


def test_store_down_at_start_then_up(lab):
    etcd = lab.start_etcd()
    lab.configure(APART)
    etcd.kill()
    host = lab.host()
    daemon = host.start_daemon(ready=False)
    not_ready_because(daemon, "192.0.2.201")
    assert daemon.logged("store-unavailable")
    etcd.start()
    daemon.wait_ready(10)
    lab.wait_equal()


@pytest.mark.slow
def test_log_is_bounded_while_the_store_is_down(lab):
    etcd = lab.start_etcd()
    lab.configure(APART)
    h1, h2 = lab.hosts(2, daemons=True)
    etcd.kill()
    h3 = lab.host()
    h3.start_daemon(ready=False)
    daemons = [h.daemon for h in (h1, h2, h3)]
    for daemon in daemons[:2]:
        daemon.wait_status(lambda s: "watch-lost" in {p["name"] for p in s["problems"]}, 5, "watch-lost")
    stays(lambda: all(d.running for d in daemons), 15, "daemons run")
    for daemon in daemons:
        assert daemon.log().count("\n") < 30, daemon.log()
    cpu = [d.metric("process_cpu_seconds_total") for d in daemons]
    assert all(c < 1 for c in cpu), cpu


@pytest.mark.parametrize("dead", ["http://192.0.2.201:1", "http://192.0.2.250:2379"], ids=["refused", "no such host"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_one_of_two_endpoints_is_dead(lab, dead, order):
    etcd = lab.start_etcd()
    lab.configure(APART)
    alive = etcd.endpoints
    host = lab.host()
    host.start_daemon(ready=False, etcd_endpoints=f"{dead},{alive}" if order == "first" else f"{alive},{dead}")
    host.daemon.wait_ready(10)
    host.daemon.wait_ok()
    key, value = made_up_lease(1)
    etcd.put(PREFIX + key, value)
    lab.wait_equal(2)


@pytest.mark.slow
def test_failover_to_another_member(lab):
    etcd = lab.start_etcd(3)
    lab.configure(APART)
    hosts = lab.hosts(2, daemons=True)
    c1, c2 = (h.container() for h in hosts)
    with lab.pinger(c1, c2) as pinger:
        for number, member in enumerate(etcd.members):
            member.kill()
            key, value = made_up_lease(number)
            wait_for(lambda k=key, v=value: etcd.put(PREFIX + k, v), 15, "the store takes a write")
            lab.wait_equal()
            for host in hosts:
                host.daemon.wait_ok()
            member.start()
            etcd.wait_healthy()
    assert pinger.lost == 0, pinger.report()


def test_restart_of_the_store(lab, fabric3):
    lab.etcd.restart()
    key, value = made_up_lease(1)
    lab.etcd.put(PREFIX + key, value)
    lab.wait_equal(10)  # the longest pause between two attempts is 4 s
    for host in fabric3:
        host.daemon.wait_ok()
        assert host.daemon.metric("flannel_lease_lost_total") == 0


@pytest.mark.parametrize("how", ["flag", "file", "environment"])
def test_password(lab, how):
    etcd = lab.start_etcd()
    lab.configure(APART)
    enable_auth(etcd)
    host = lab.host()
    daemon = host.make_daemon(etcd_username="fabric")
    if how == "flag":
        daemon.flags["etcd_password"] = "open sesame"
    elif how == "file":
        file = daemon.directory / "password"
        file.write_text("open sesame\n")
        daemon.flags["etcd_password_file"] = file
    else:
        daemon.environment["FLANNELD_ETCD_PASSWORD"] = "open sesame"
    daemon.start().wait_ready()
    daemon.wait_ok()
    key, value = made_up_lease(1)
    etcd.put(PREFIX + key, value)
    lab.wait_equal()
    assert "sesame" not in daemon.log()


def test_wrong_password_is_said(lab):
    etcd = lab.start_etcd()
    lab.configure(APART)
    enable_auth(etcd)
    daemon = lab.host().start_daemon(ready=False, etcd_username="fabric", etcd_password="wrong")
    not_ready_because(daemon, "authentication failed")
    assert "wrong" not in daemon.log()


def test_no_password_where_one_is_wanted(lab):
    etcd = lab.start_etcd()
    lab.configure(APART)
    enable_auth(etcd)
    daemon = lab.host().start_daemon(ready=False)
    not_ready_because(daemon, "user name is empty")


def test_https_with_client_certificate(lab):
    tls = lab.certificates()
    lab.start_etcd(tls=tls)
    lab.configure(APART)
    hosts = lab.hosts(2, daemons=True, etcd_cafile=tls.ca, etcd_certfile=tls.client_cert, etcd_keyfile=tls.client_key)
    hosts[0].daemon.wait_ok()
    lab.wait_equal()
    key, value = made_up_lease(1)
    lab.etcd.put(PREFIX + key, value)
    lab.wait_equal(2)


@by_both
def test_https_with_an_authority_between(lab):
    """Both sides know the root alone; what leads there comes with each certificate."""
    tls = lab.certificates()
    tls.put_between()
    lab.start_etcd(tls=tls)
    lab.configure(APART)
    lab.host().start_daemon(etcd_cafile=tls.ca, etcd_certfile=tls.client_cert, etcd_keyfile=tls.client_key)
    key, value = made_up_lease(1)
    lab.etcd.put(PREFIX + key, value)
    lab.wait_equal(1)


def test_https_with_client_certificate_and_password(lab):
    tls = lab.certificates()
    etcd = lab.start_etcd(tls=tls)
    lab.configure(APART)
    enable_auth(etcd)
    host = lab.host()
    host.start_daemon(
        etcd_cafile=tls.ca,
        etcd_certfile=tls.client_cert,
        etcd_keyfile=tls.client_key,
        etcd_username="fabric",
        etcd_password="open sesame",
    )
    lab.wait_equal()


def test_https_without_what_it_needs(lab):
    """No client certificate; and a server that another authority signed. Each is refused, and said."""
    tls = lab.certificates()
    lab.start_etcd(tls=tls)
    lab.configure(APART)
    host = lab.host()
    bare = host.start_daemon("bare", ready=False, etcd_cafile=tls.ca)
    not_ready_because(bare, "certificate")
    stranger = host.start_daemon(
        "stranger", ready=False, etcd_certfile=tls.client_cert, etcd_keyfile=tls.client_key
    )
    not_ready_because(stranger, "certificate")


def test_certificate_with_a_common_name(lab):
    """With authentication on etcd's gateway does not take it. The daemon says what to do, at once and on a watch."""
    tls = lab.certificates()
    etcd = lab.start_etcd(tls=tls)
    lab.configure(APART)
    cert, key = tls.directory / "named.pem", tls.directory / "named.key"
    tls.issue("named", cert, key, "subjectAltName=DNS:host", "clientAuth", subject="/O=fabric/CN=fabric")
    flags = {"etcd_cafile": tls.ca, "etcd_certfile": cert, "etcd_keyfile": key, "etcd_transport": "json"}
    words = "CommonName", "use a certificate without one", "user name and password"
    early = lab.host().start_daemon(**flags)
    enable_auth(etcd)
    not_ready_because(lab.host().start_daemon(ready=False, **flags), *words)
    user = {"etcd_username": "fabric", "etcd_password": "open sesame"}
    not_ready_because(lab.host().start_daemon(ready=False, **flags, **user), *words)
    etcd.restart()
    early.wait_status(lambda s: any(words[1] in p["text"] for p in s["problems"]), 15, "its status says what to do")


@pytest.mark.parametrize("transport", ["grpc", "auto"])
def test_certificate_with_a_common_name_by_grpc(lab, transport):
    """The name is the user: no password, and no more than that user may do."""
    tls = lab.certificates()
    etcd = lab.start_etcd(tls=tls)
    lab.configure(APART)
    cert, key = tls.directory / "named.pem", tls.directory / "named.key"
    tls.issue("named", cert, key, "subjectAltName=DNS:host", "clientAuth", subject="/O=fabric/CN=fabric")
    flags = {"etcd_cafile": tls.ca, "etcd_certfile": cert, "etcd_keyfile": key, "etcd_transport": transport}
    enable_auth(etcd)
    daemon = lab.host().start_daemon(**flags)
    key, value = made_up_lease(1)
    etcd.put(PREFIX + key, value)
    lab.wait_equal(1)
    (endpoint,) = daemon.status()["store"]["endpoints"]
    assert endpoint["transport"] == "grpc" and not endpoint["transport_reason"]
    assert daemon.metric('flannel_store_endpoints{transport="grpc"}') == 1
    other = lab.host().start_daemon(ready=False, etcd_prefix="/elsewhere", **flags)
    not_ready_because(other, "permission denied")


def test_ca_file_is_the_only_authority(lab):
    """What the system trusts is of no account once a CA file is given: its directory is made to trust the server."""
    tls = lab.certificates()
    lab.start_etcd(tls=tls)
    lab.configure(APART)
    other = lab.directory / "other.pem"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/O=others", "-keyout", lab.directory / "other.key", "-out", other,
    )  # fmt: skip
    trusted = lab.directory / "trusted"
    trusted.mkdir()
    shutil.copy(tls.ca, trusted / "ca.pem")
    shutil.copy(other, trusted / "ca-certificates.crt")
    run("openssl", "rehash", trusted)

    def config(ca):
        command = f"mount --bind {trusted} /etc/ssl/certs && exec {FABRICCTL} config show --store -o raw"
        command += f" --config-file /dev/null --etcd-endpoints {lab.etcd.endpoints} --etcd-certfile {tls.client_cert}"
        command += f" --etcd-keyfile {tls.client_key}" + (f" --etcd-cafile {ca}" if ca else "")
        argv = lab.etcd.namespace.argv("unshare", "-m", "sh", "-c", command)
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    assert "10.5" in config(tls.ca).stdout
    assert "10.5" in config(None).stdout, "the system's authorities count where no file is given"
    refused = config(other)
    assert refused.returncode != 0 and "certificate" in refused.stderr, refused


def test_one_connection_serves_all(lab):
    """What is asked of etcd besides, in HTTP/1.1, does not end that all calls share one."""
    lab.start_etcd()
    lab.configure(APART)
    host = lab.host()
    daemon = host.start_daemon(etcd_transport="grpc", log_level="debug")
    daemon.wait_log("store-reply: health-set: ok")

    def connections():
        lines = host.namespace.run("ss", "-Htn", "state", "established", "dport", "=", ":2379").splitlines()
        return [line.split()[2:] for line in lines]  # the addresses; before them stands what is on the way

    for _ in range(3):
        ask(host, "lease", "renew")
    wait_for(lambda: len(connections()) == 1, 5, "one connection is left")
    (before,) = connections()
    ask(host, "lease", "renew")
    assert connections() == [before]
