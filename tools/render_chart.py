"""`make manifests`: the chart's copy of the CRD, and manifests/install.yaml for those without Helm.

install.yaml is what `helm template` makes of the chart with a database of one's own. The bundled
PostgreSQL is left to Helm: its password has to be made up at the installation.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "penstock"
CRD = ROOT / "manifests" / "crd.yaml"
CRD_IN_CHART = CHART / "files" / "crd.yaml"
INSTALL = ROOT / "manifests" / "install.yaml"
# The oldest Kubernetes that is supported: nothing in here needs a newer one.
KUBERNETES = "1.33.0"

_HEAD = """\
# Written by `make manifests` from charts/penstock; edit that instead. How to use it:
# docs/how-to/install.md. It needs the namespace penstock and in it the Secret penstock-database.
"""


def install(helm: str) -> str:
    """Text of manifests/install.yaml. `helm`: path of the program."""
    options = ["--namespace", "penstock", "--kube-version", KUBERNETES]
    options += ["--set", "database.existingSecret.name=penstock-database"]
    command = [helm, "template", "penstock", str(CHART), *options]
    return _HEAD + subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Writes both files; builds Helm where it is missing."""
    from tests.cluster import binaries

    CRD_IN_CHART.write_text(CRD.read_text())
    INSTALL.write_text(install(str(binaries.ensure(["helm"])["helm"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
