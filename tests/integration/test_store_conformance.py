# SPDX-License-Identifier: Apache-2.0
"""The cases that memory and directory pass as unit tests, on a real etcd: so the simulator's model of it is right."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("FLANNEL_BUILD", ROOT / "build"))
PROGRAM = BUILD / "tests" / "unit" / "test_store_conformance"


@pytest.mark.parametrize("transport", ["grpc", "json", "auto"])
def test_etcd_does_what_the_model_does(lab, transport):
    etcd = lab.start_etcd()
    environment = os.environ | {"STORE_CONFORMANCE_ETCD": etcd.endpoints, "STORE_CONFORMANCE_TRANSPORT": transport, "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    done = subprocess.run(
        etcd.namespace.argv(PROGRAM), env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert len(re.findall(r"^ok \d+", output, re.M)) >= 14, output
