# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with a real Kubernetes: those of the integration tests, and `cluster`, see cluster.py."""

import importlib.util
import os
import pathlib
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "integration"
sys.path.insert(0, str(INTEGRATION))
_spec = importlib.util.spec_from_file_location("integration_conftest", INTEGRATION / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
globals().update({name: thing for name, thing in vars(_module).items() if name.startswith("pytest_") or name in ("machine", "lab")})

import cluster as clusters  # noqa: E402


@pytest.fixture(scope="session")
def programs():
    """The folder with Kubernetes' own programs, see build.py."""
    found = os.environ.get("KUBERNETES_PROGRAMS")
    if not found:
        pytest.skip("KUBERNETES_PROGRAMS is not set: make check-kubernetes builds them")
    return pathlib.Path(found)


@pytest.fixture
def cluster(lab, programs):
    return clusters.Cluster(lab, programs)
