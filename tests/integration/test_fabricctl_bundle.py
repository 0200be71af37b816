# SPDX-License-Identifier: Apache-2.0
"""fabricctl bundle: everything that somebody needs who helps, and no secret, wherever one may stand."""

import io
import json
import os
import re
import stat
import subprocess
import tarfile

from etcd import PREFIX
from fabric import FABRICCTL
from fabricctl_support import CONFIG, FAILED, OK, Underlay, fabricctl, two

DUMPS = {"links", "addresses", "routes-ipv4", "routes-ipv6", "rules-ipv4", "rules-ipv6", "neighbours", "fdb", "nft", "sysctl"}


def unpacked(data):
    """{name below the archive's directory: text}; as tar itself reads it."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert all(m.isfile() and not m.name.startswith("/") and ".." not in m.name and m.mode == 0o600 for m in members)
        assert len({m.name.split("/")[0] for m in members}) == 1
        return {m.name.partition("/")[2]: archive.extractfile(m).read().decode() for m in members}


def bundle(where, *args, status=OK, **options):
    done = fabricctl("bundle", *args, where=where, **options)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
    return done


def test_what_is_in_it(lab, two, tmp_path):
    h1 = two[0]
    path = tmp_path / "a.tar"
    flags = ("--socket", h1.daemon.socket_path, "--config-file", "/dev/null", "--subnet-file", h1.daemon.subnet_file)
    done = bundle(h1, path, *flags)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == os.geteuid()
    files = unpacked(path.read_bytes())
    # The list comes first, on the screen and in the archive.
    listed = [line.split()[0] for line in done.stdout.splitlines()[1:-1]]
    assert done.stdout.splitlines()[-1] == f"wrote {path}" and list(files) == ["CONTENTS", *listed]
    assert {f"kernel/{name}.txt" for name in DUMPS} | {"flanneld.conf", "subnet.env", "journal.txt"} <= set(files)
    own = {name: json.loads(files[f"fabricctl/{name}.json"]) for name in ("version", "status", "doctor", "subnets", "peers", "events", "diff", "config", "lease", "capacity")}
    assert own["status"]["lease"]["subnet"] == h1.daemon.status()["lease"]["subnet"] and len(own["peers"]["items"]) == 2
    assert "flannel.1" in files["kernel/links.txt"] and " onlink" in files["kernel/routes-ipv4.txt"]
    assert "table inet flannel.1" in files["kernel/nft.txt"] and "FLANNEL_SUBNET=" in files["subnet.env"]
    assert "net/ipv4/ip_forward = 1" in files["kernel/sysctl.txt"]
    # The kernel was looked at before the daemon was asked for the difference, which it then puts right.
    h1.namespace.run("ip", "route", "del", "10.5.250.0/24")
    lost = unpacked(bundle_bytes(h1, tmp_path / "lost.tar", *flags))
    assert list(lost).index("kernel/routes-ipv4.txt") < list(lost).index("fabricctl/diff.json")
    # What is there is not overwritten, and a pipe gets the archive alone.
    before = path.read_bytes()
    assert "File exists" in bundle(h1, path, *flags, status=FAILED).stderr and path.read_bytes() == before
    argv = [FABRICCTL, "bundle", "-", *map(str, flags)]
    with h1.namespace.entered():
        piped = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    assert "fabricctl/status.json" in unpacked(piped.stdout) and b"NAME" in piped.stderr
    document = json.loads(bundle(h1, tmp_path / "b.tar", *flags, "-o", "json").stdout)
    assert document["kind"] == "Bundle" and {"name", "sizeBytes", "leftOut", "cutBytes", "error"} == set(document["items"][0])


def test_with_the_daemon_dead(lab, two, tmp_path):
    h1 = two[0]
    h1.daemon.stop()
    flags = ("--socket", h1.daemon.socket_path, "--config-file", "/dev/null")
    files = unpacked(bundle_bytes(h1, tmp_path / "a.tar", *flags))
    assert files["fabricctl/status.json"] == "" and "the daemon does not answer" in files["CONTENTS"]
    assert json.loads(files["fabricctl/doctor.json"])["kind"] == "Doctor" and "flannel.1" in files["kernel/links.txt"]
    files = unpacked(bundle_bytes(Underlay(lab), tmp_path / "b.tar", *flags, "--store", "--etcd-endpoints", lab.etcd.endpoints))
    assert len(json.loads(files["fabricctl/subnets.json"])["items"]) == 3


def bundle_bytes(where, path, *flags, **options):
    bundle(where, path, *flags, **options)
    return path.read_bytes()


class Secrets:
    """Each is asked for once, by the place where it will stand."""

    def __init__(self):
        self.made = {}

    def __call__(self, place):
        return self.made.setdefault(place, f"SECRET{len(self.made):02d}x{place.replace(' ', '')}")


def test_no_secret_is_in_it(lab, two, tmp_path):
    h1 = two[0]
    secret = Secrets()
    (tmp_path / "password").write_text(secret("password file") + "\n")
    (tmp_path / "wireguard.key").write_text(secret("key file") + "\n")
    (tmp_path / "node-id").write_text("some-host\n")
    config = tmp_path / "flanneld.conf"
    config.write_text(
        f"etcd-endpoints = http://bob:{secret('URL')}@192.0.2.201:2379\n"
        f"etcd-password = {secret('password')} with {secret('second word')}\n"
        f"#etcd-password = {secret('commented out')}\n"
        f"etcd-username = bob\netcd-password-file = {tmp_path}/password\n"
        f"kube-api-url = https://{secret('user of a URL')}:x@192.0.2.9/\n"
        f"my-api-token: {secret('unknown flag')}\n"
        f"-----BEGIN RSA PRIVATE KEY-----\n{secret('PEM')}\n-----END RSA PRIVATE KEY-----\n"
        f"state-dir = {tmp_path}\n"
    )
    command = f"curl -u bob:{secret('curl -u')} -H 'Authorization: Bearer {secret('header')}' --password {secret('option')} http://a:{secret('URL of a command')}@h/"
    lab.etcd.put(
        f"{PREFIX}/config",
        json.dumps(CONFIG | {"Backend": {"Type": "vxlan", "PSK": secret("PSK"), "Hook": command, "Nested": {"Secret": secret("nested")}}}),
    )
    name = f"password={secret('name of a host')}"
    lease = {"PublicIP": "192.0.2.77", "BackendType": "vxlan", "BackendData": {"VNI": 1, "VtepMAC": "02:00:00:00:00:77", "Token": secret("lease")}}
    lab.etcd.put(f"{PREFIX}/subnets/10.5.77.0-24", json.dumps(lease | {"Node": {"ID": "x", "Name": name}}))
    subnet_file = tmp_path / "subnet.env"
    subnet_file.write_text(f"FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_TOKEN='{secret('subnet file')}'\n")
    # In the kernel too, whatever its name there: what is known to be a secret.
    h1.namespace.run("ip", "link", "add", "dummy7", "type", "bridge")
    h1.namespace.run("ip", "link", "set", "dummy7", "alias", f"made with {secret('key file')}")
    h1.namespace.run("nft", "add table ip other { comment \"token=" + secret("comment of a table") + "\" ; }")
    environment = {"FLANNELD_ETCD_PASSWORD": secret("environment")}
    h1.namespace.run("ip", "link", "set", "lo", "alias", secret("environment"))
    common = ("--config-file", config, "--subnet-file", subnet_file, "--state-dir", tmp_path, "--socket", h1.daemon.socket_path)
    for name, more in (("a.tar", ()), ("b.tar", ("--store", "--etcd-endpoints", lab.etcd.endpoints))):
        data = bundle_bytes(h1, tmp_path / name, *common, *more, env=environment)
        files = unpacked(data)
        for place, text in secret.made.items():
            assert text.encode() not in data, place
        assert not re.search(rb"SECRET\d\dx", data)
        # ... and what is none is.
        assert "etcd-username = bob" in files["flanneld.conf"] and "192.0.2.201:2379" in files["flanneld.conf"]
        assert "FLANNEL_NETWORK=10.5.0.0/16" in files["subnet.env"] and "dummy7" in files["kernel/links.txt"]
        counts = {line.split("\t")[3]: int(line.split("\t")[1]) for line in files["CONTENTS"].splitlines()[1:]}
        assert counts["flanneld.conf"] == 6 and counts["subnet.env"] == 1 and counts["kernel/nft.txt"] == 1 and counts["kernel/links.txt"] >= 2
        assert counts["fabricctl/subnets.json"] >= 1 and counts["kernel/routes-ipv4.txt"] == 0
    # All commands were asked in both forms, so that the configuration was there to be redacted.
    assert "(left out)" in files["fabricctl/config.json"] and json.loads(files["fabricctl/config.json"])["kind"] == "NetworkConfig"
