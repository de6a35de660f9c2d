"""Schemathesis makes requests of every kind that the OpenAPI document allows and forbids, and holds the service to it."""

import os
import re
import subprocess
import sys
from importlib.metadata import version as installed
from pathlib import Path

from program import issuer, tell, version

here = Path(__file__).parent
command = [
    str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(here / "schemathesis.toml"),
    "run", f"{issuer}/openapi.json", "--checks", "all", "--max-examples", "30", "--continue-on-failure", "--no-color",
]
environment = {**os.environ, "SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(here)}
run = subprocess.run(command, env=environment, capture_output=True, text=True)
version("schemathesis")
cases = re.search(r"(\d+) generated", run.stdout)
operations = re.search(r"Tested: (\d+)", run.stdout)
if run.returncode != 0 or not cases or not operations:
    sys.exit(run.stdout[-6000:] + run.stderr[-2000:])
phases = re.findall(r"✅\s+(Examples|Coverage|Fuzzing|Stateful)", run.stdout)
tell("did", f"{operations[1]} operations of the OpenAPI document, {cases[1]} requests that it allows or forbids")
tell("did", f"phases: {', '.join(sorted(set(phases))).lower()}")
