# SPDX-License-Identifier: Apache-2.0
"""fabricctl doctor about a store that is a directory, and about Consul."""

import contextlib
import http.server
import json
import os
import socketserver
import threading
import types

import pytest

import consul
from fabric import CNI_PLUGIN, CONFIG
from fabricctl_support import fabricctl
from netns import wait_for

PREFIX = "coreos.com/network"


def checks(*args, where=None, **options):
    """{check: [(state, text, remedy)]} of what is said of the store, by a host without a daemon unless one is told."""
    flags = ["--config-file=/dev/null", "--state-dir=/nonexistent", f"--cni-plugin={CNI_PLUGIN}"]
    if not any(str(a).startswith("--socket") for a in args):
        flags.append("--socket=/nonexistent/sock")
    options["env"] = options.get("env", {})
    done = fabricctl("doctor", "-o", "json", *flags, *args, where=where, **options)
    found = {}
    for item in json.loads(done.stdout)["items"]:
        if item["check"].startswith(("store", "clock", "certificates")):
            found.setdefault(item["check"], []).append((item["state"], item["text"], item["remedy"]))
    return found


# ---- a directory


def directory(path, prefix=()):
    """Asked in a mount namespace whose commands before are `prefix`."""
    wrapper = ["unshare", "-m", "sh", "-c", " && ".join([*prefix, 'exec "$@"']), "sh"] if prefix else []
    where = types.SimpleNamespace(wrapper=wrapper, namespace=types.SimpleNamespace(entered=NoNamespace))
    return checks(where=where, env={"FLANNELD_STORE": f"file:{path}"})


class NoNamespace:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def store(lab):
    """With one lease in it."""
    path = lab.directory / "store"
    path.mkdir()
    (path / "config").write_text(json.dumps(CONFIG))
    lab.host().start_daemon(store=f"file:{path}").stop()
    return path


def test_a_directory_that_is_well(store):
    found = directory(store)
    assert found["store"] == [("ok", f"{store}/journal: 2 keys, and all lines can be read", None)]
    assert found["store-rights"] == [("ok", f"{store} can be read and written", None)]
    assert set(found) <= {"store", "store-rights", "store-filesystem"}


def test_what_is_wrong_with_a_directory(store):
    state, text, remedy = directory(store / "elsewhere")["store"][0]
    assert state == "error" and "No such file" in text and "beneath what is to be mounted there" in text and remedy.startswith("findmnt -T ")
    assert "is no directory" in directory(store / "config")["store"][0][1]

    os.chmod(store, 0o777)
    state, text, remedy = directory(store)["store-rights"][0]
    assert state == "warning" and text.startswith("everybody may write") and remedy == f"chmod o-w {store}"
    os.chmod(store, 0o755)
    read_only = [f"mount --bind {store} {store}", f"mount -o remount,bind,ro {store}"]
    state, text, remedy = directory(store, read_only)["store-rights"][0]
    assert state == "error" and "Read-only file system" in text and remedy == f"findmnt -T {store}"

    journal = (store / "journal").read_bytes()
    (store / "journal").write_bytes(journal + b"nonsense\n")
    state, text, remedy = directory(store)["store"][0]
    assert state == "error" and "nothing is written there any more" in text and remedy == "fabricctl store repair"
    (store / "journal").write_bytes(b"")
    assert "not one line" in directory(store)["store"][0][1]
    (store / "journal").unlink()
    assert directory(store)["store"] == [("ok", f"{store}: nobody has leased anything yet", None)]

    (store / "config").write_text('{"Network": "10.5.0.0/40"}')
    state, text, remedy = directory(store)["store-config"][0]
    assert state == "error" and "10.5.0.0/40" in text and remedy == f"fabricctl config check {store}/config"
    (store / "config").unlink()
    assert "no host is given a subnet" in directory(store)["store-config"][0][1]


def test_the_file_system_of_a_directory(store):
    def on_tmpfs(options):
        return directory(store, [f"cp -a {store} {store}.copy && mount -t tmpfs -o {options} none {store}", f"cp -a {store}.copy/. {store}", f"rm -r {store}.copy"])

    found = on_tmpfs("size=64m,mode=755")
    state, text, _ = found["store-filesystem"][0]
    assert state == "warning" and "is on tmpfs: it is gone after a reboot" in text
    assert "store-room" not in found and found["store"][0][0] == "ok"
    state, text, remedy = on_tmpfs("size=1m,mode=755")["store-room"][0]
    assert state == "warning" and "has room for 10" in text and remedy == f"df -h {store}; df -i {store}"
    assert on_tmpfs("size=32k,mode=755")["store-room"][0][0] == "error"
    assert on_tmpfs("size=64m,nr_inodes=8,mode=755")["store-room"][0][0] == "error"


# ---- Consul


@contextlib.contextmanager
def answering(path, document):
    """A daemon that has this to say."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = json.dumps(document).encode()
            self.send_response(200 if self.path == "/v1/status" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

        def address_string(self):
            return "local"

    with socketserver.UnixStreamServer(str(path), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
            path.unlink()


def of_consul(server, host, *more):
    return checks(*more, where=host, env={f"FLANNELD_{name.upper()}": str(value) for name, value in server.flags().items()})


def test_consul_that_is_well(lab):
    server = consul.start(lab)
    host = lab.host()
    host.start_daemon(**server.flags())
    before = server.sessions()
    found = of_consul(server, host, f"--socket={host.daemon.socket_path}")
    assert found["store"] == [("ok", "1 of 1 agents answer, and reach a leader", None)]
    assert found["store-rights"] == [("ok", f"{PREFIX}/ can be read and written, sessions can be made", None)]
    assert found["store-session"][0][0] == "ok" and "has no lock delay" in found["store-session"][0][1]
    assert found["clock"][0][0] == "ok" and "agree within 60 s" in found["clock"][0][1]
    # It has left nothing.
    assert server.sessions() == before and not server.get(f"/{PREFIX}/subnets/fabricctl-doctor")
    # One of two agents is not there; none is.
    two = {"FLANNELD_STORE": "consul", "FLANNELD_CONSUL_ENDPOINTS": f"{server.endpoints},http://192.0.2.1:9"}
    state, text, remedy = checks(where=host, env=two)["store"][0]
    assert state == "warning" and text.startswith("http://192.0.2.1:9: ") and remedy == "fabricctl store ping"
    found = checks(where=host, env=two | {"FLANNELD_CONSUL_ENDPOINTS": "http://192.0.2.1:9"})
    assert [state for state, *_ in found["store"]] == ["warning", "error"] and "store-rights" not in found
    found = checks(where=host, env=two | {"FLANNELD_CONSUL_CERTFILE": "/nonexistent"})
    assert "consul-certfile" in found["store"][0][1]


def test_a_session_of_somebody_else(lab):
    """A lease that an administrator has bound to a session with a lock delay, as Consul gives it by itself."""
    server = consul.start(lab)
    host = lab.host()
    host.start_daemon(**server.flags())
    theirs = json.loads(server.api("PUT", "/v1/session/create", {"TTL": "600s", "Behavior": "delete", "Checks": []}))["ID"]
    kept = json.loads(server.api("PUT", "/v1/session/create", {"TTL": "600s", "Behavior": "release", "LockDelay": "0s", "Checks": []}))["ID"]
    document = host.daemon.status()
    for session, says in ((theirs, "has a lock delay of 15 s"), (kept, "has the behavior release, not delete"), ("0" * 8 + "-1111-2222-3333-" + "4" * 12, "is no more")):
        document["lease"]["handle"] = session.replace("-", "").lstrip("0")
        with answering(lab.directory / "told.sock", document) as socket:
            state, text, _ = of_consul(server, host, f"--socket={socket}")["store-session"][0]
        assert state == "warning" and says in text, text


def test_rights_in_consul(lab, tmp_path):
    server = consul.start(lab, config=None, **consul.ACL)
    server.bootstrap()
    lab.configure(CONFIG)
    host = lab.host()
    token = tmp_path / "token"

    def rights(rules):
        server.policy("doctor", rules)
        token.write_text(server.new_token("doctor")["SecretID"])
        env = {f"FLANNELD_{n.upper()}": str(v) for n, v in server.flags(consul_token_file=token).items()}
        return wait_for(lambda: checks(where=host, env=env), 10, "it answers")["store-rights"][0]

    key = 'key_prefix "coreos.com/network/" { policy = "%s" }\n'
    session = 'session_prefix "" { policy = "write" }\n'
    state, text, remedy = rights('node_prefix "" { policy = "read" }')
    assert state == "error" and "cannot be read: " in text and "ermission denied" in text
    assert remedy.startswith("consul acl policy update -name NAME -rules 'key_prefix \"coreos.com/network/\" { policy = \"write\" }")
    state, text, _ = rights(key % "read" + session)
    assert state == "error" and text.startswith("no lease can be written below coreos.com/network/subnets: "), text
    state, text, _ = rights(key % "write")
    assert state == "error" and text.startswith("no session can be made, which a lease is bound to: "), text
    assert rights(key % "write" + session)[0] == "ok"
