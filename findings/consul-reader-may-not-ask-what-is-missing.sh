#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Consul 1.8.7 (consul 1.8.7+dfsg1-2+b3 of Debian 11), a token with `key_prefix "a/" { policy = "read" }`: transactions that change nothing.
#
# One would expect: who may read a key may make its state the condition of a transaction, whatever the condition is.
# What happens: get, check-index and check-session of a key are judged for a reader; check-not-exists is refused with "Permission denied", whether the
# key is there or not: it wants the right to write. So a reader cannot make it a condition that a key is missing. check-index with
# the index 0, which `cas` takes for "not there", does not help: of a missing key it says that the key does not exist.
set -euo pipefail
work=$(mktemp -d)
agent=
trap '[ -z "$agent" ] || kill "$agent" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
mkdir -p state/lists/partial cache/archives/partial data
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive bullseye main" >sources.list
: >status
options=(-qq -o APT::Sandbox::User=root -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
	-o "Dir::State=$work/state" -o "Dir::Cache=$work/cache" -o "Dir::State::status=$work/status")
apt-get "${options[@]}" update >/dev/null
apt-get "${options[@]}" download consul=1.8.7+dfsg1-2+b3 >/dev/null
dpkg -x consul_*.deb .

# Ports that nobody has now.
ports=($(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in held))'))
cat >agent.json <<JSON
{"server": true, "bootstrap_expect": 1, "data_dir": "$work/data", "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
 "ports": {"http": ${ports[0]}, "server": ${ports[1]}, "serf_lan": ${ports[2]}, "serf_wan": -1, "dns": -1, "grpc": -1},
 "acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": "11111111-1111-1111-1111-111111111111"}}}
JSON
usr/bin/consul agent -config-file agent.json >agent.log 2>&1 &
agent=$!

python3 - "${ports[0]}" <<'PYTHON'
import json, sys, time, urllib.error, urllib.request

MASTER = "11111111-1111-1111-1111-111111111111"


def call(path, body, token=MASTER):
    """(status, text)"""
    request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/{path}", body.encode(), {"X-Consul-Token": token}, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def wait_for_leader():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if call("kv/a/there", "x")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("no leader within a minute")


wait_for_leader()
call("acl/policy", json.dumps({"Name": "reader", "Rules": 'key_prefix "a/" { policy = "read" }'}))
reader = json.loads(call("acl/token", json.dumps({"Policies": [{"Name": "reader"}]}))[1])["SecretID"]


def ask(token, verb, key, **more):
    """What a transaction of this alone says."""
    status, text = call("txn", json.dumps([{"KV": {"Verb": verb, "Key": key} | more}]), token)
    return "ok" if status == 200 else json.loads(text)["Errors"][0]["What"]


CASES = {
    "get of a key": ("get", "a/there", {}),
    "check-index of it": ("check-index", "a/there", {"Index": 1}),
    "check-session of it": ("check-session", "a/there", {"Session": MASTER}),
    "check-not-exists of it": ("check-not-exists", "a/there", {}),
    "check-not-exists of a missing key": ("check-not-exists", "a/missing", {}),
    "check-index 0 of a missing key": ("check-index", "a/missing", {"Index": 0}),
}
said = {name: [ask(token, verb, key, **more) for token in (reader, MASTER)] for name, (verb, key, more) in CASES.items()}
for name, (by_reader, by_master) in said.items():
    print(f"{name}\n    who may read:  {by_reader}\n    who may write: {by_master}")
denied = [name for name, (by_reader, _) in said.items() if by_reader == "Permission denied"]
others = all(by_reader == by_master for name, (by_reader, by_master) in said.items() if name not in denied)
sys.exit(not (others and denied == ["check-not-exists of it", "check-not-exists of a missing key"] and said[denied[1]][1] == "ok"))
PYTHON
