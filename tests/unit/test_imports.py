"""What a process loads, it holds for its whole life: each loads only what it needs."""

from __future__ import annotations

import subprocess
import sys


def test_the_command_that_plans_holds_no_http_client() -> None:
    modules = "penstock.cli.app, penstock.local.driver, penstock.work.processors.http"
    code = f"import sys, {modules}; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
