"""What starting up costs, seen from processes of their own."""

import json
import subprocess
import sys

BACKENDS = {"torch", "tensorflow", "keras", "tf_keras", "csbdeep", "n2v"}
HEAVY = BACKENDS | {"sklearn", "matplotlib", "skimage", "albumentations", "zarr", "onnx", "reportlab"}


def loaded(code: str) -> set[str]:
    """Top-level modules in memory after `code` ran in a fresh interpreter."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_takes_well_under_a_second():
    code = "import time; t = time.process_time(); import zcdl_common; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.5


def test_importing_the_package_and_the_registry_loads_nothing_heavy():
    assert not loaded("import zcdl_common; from zcdl_common import networks; networks.get('unet')") & HEAVY


def test_no_module_outside_models_loads_a_backend():
    code = """
import importlib, pkgutil, zcdl_common
count = 0
for module in pkgutil.walk_packages(zcdl_common.__path__, "zcdl_common."):
    if not module.name.startswith("zcdl_common.models"):
        importlib.import_module(module.name)
        count += 1
assert count > 5
"""
    assert not loaded(code) & BACKENDS
