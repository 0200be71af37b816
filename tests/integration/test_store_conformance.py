# SPDX-License-Identifier: Apache-2.0
"""The cases that memory and directory pass as unit tests, on a real etcd: so the simulator's model of it is right."""

import os
import pathlib
import re
import subprocess

import pytest

import kube

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("FLANNEL_BUILD", ROOT / "build"))
PROGRAM = BUILD / "tests" / "unit" / "test_store_conformance"
ASSIGNS = BUILD / "tests" / "unit" / "test_store_assigns"


def passes(namespace, program, least, **environment):
    done = subprocess.run(
        namespace.argv(program), env=os.environ | environment | {"CMOCKA_MESSAGE_OUTPUT": "TAP"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert len(re.findall(r"^ok \d+", output, re.M)) >= least, output


@pytest.mark.parametrize("transport", ["grpc", "json", "auto"])
def test_etcd_does_what_the_model_does(lab, transport):
    etcd = lab.start_etcd()
    passes(etcd.namespace, PROGRAM, 14, STORE_CONFORMANCE_ETCD=etcd.endpoints, STORE_CONFORMANCE_TRANSPORT=transport)


def test_kubernetes_assigns_as_the_model_does(lab):
    """The same API server as that of all other tests; a real one has its turn in tests/kubernetes."""
    server = kube.ApiServer(lab)
    server.allowed |= {("create", "nodes"), ("delete", "nodes")}
    passes(lab.underlay, ASSIGNS, 10, STORE_CONFORMANCE_KUBE=server.url)
    assert not server.nodes
