"""Which cluster is meant, who asks, and by which proxy it is reached: kubectl's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.cluster.api import Refused, Unreachable, refusal
from penstock.cluster.kinds import BATCH_JOBS, PODS
from penstock.cluster.kubeconfig import Access, chosen, config_paths, login
from penstock.cluster.proxy import proxy_for
from penstock.errors import ClusterError, InputError


def config(name: str, **more: Any) -> dict[str, Any]:
    return {
        "clusters": [{"name": name, "cluster": {"server": f"http://{name}:6443"}}],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **more}}],
        "current-context": name,
    }


@pytest.fixture
def files(tmp_path: Path) -> str:
    """KUBECONFIG with two files, and one that is not there."""
    (tmp_path / "a").write_text(yaml.safe_dump(config("a", namespace="team")))
    (tmp_path / "b").write_text(yaml.safe_dump(config("b")))
    return f"{tmp_path}/none:{tmp_path}/a:{tmp_path}/b"


def test_the_first_file_that_says_something_wins(files: str) -> None:
    found = login(Access(), {"KUBECONFIG": files})
    assert (found.host, found.namespace) == ("http://a:6443", "team")
    assert found.authorization() == "Bearer token-of-a"


def test_a_context_by_name(files: str) -> None:
    found = login(Access(context="b"), {"KUBECONFIG": files})
    assert (found.host, found.namespace) == ("http://b:6443", "default")


def test_a_file_by_name_alone_counts(files: str, tmp_path: Path) -> None:
    found = login(Access(kubeconfig=tmp_path / "b"), {"KUBECONFIG": files})
    assert found.host == "http://b:6443"
    with pytest.raises(InputError, match="--kubeconfig: there is no file"):
        config_paths(Access(kubeconfig=tmp_path / "c"), {})


def test_no_kubeconfig_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kubeconfig: KUBECONFIG names"):
        config_paths(Access(), {"KUBECONFIG": str(tmp_path / "none")})


def test_mistakes_name_what_is_there() -> None:
    with pytest.raises(InputError, match=r"no context 'prod'.*staging"):
        chosen([config("staging")], "prod")
    with pytest.raises(InputError, match="no current context"):
        chosen([{"contexts": None}], None)


def test_a_file_that_is_no_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("[1")
    with pytest.raises(InputError, match="cannot be read as a kubeconfig"):
        login(Access(kubeconfig=tmp_path / "x"), {})
    (tmp_path / "x").write_text(yaml.safe_dump({**config("a"), "clusters": []}))
    with pytest.raises(ClusterError, match="cannot be used"):
        login(Access(kubeconfig=tmp_path / "x"), {})


def test_the_proxy_of_the_kubeconfig_comes_first(tmp_path: Path) -> None:
    entry = config("a")
    entry["clusters"][0]["cluster"]["proxy-url"] = "http://one:1"
    (tmp_path / "x").write_text(yaml.safe_dump(entry))
    access = Access(kubeconfig=tmp_path / "x")
    assert login(access, {"HTTP_PROXY": "http://two:2"}).proxy == "http://one:1"
    entry["clusters"][0]["cluster"]["proxy-url"] = "socks5://one:1"
    (tmp_path / "x").write_text(yaml.safe_dump(entry))
    with pytest.raises(ClusterError, match="socks5 is not supported"):
        login(access, {})


PROXY = {"HTTPS_PROXY": "http://proxy:3128", "http_proxy": "plain:80"}


@pytest.mark.parametrize(
    ("url", "exceptions", "proxied"),
    [
        ("https://api.example:6443", "", True),
        ("https://api.example:6443", "*", False),
        ("https://api.example:6443", "example", False),
        ("https://api.example:6443", ".example", False),
        ("https://api.example:6443", "*.example", False),
        ("https://example:6443", ".example", True),
        ("https://badexample:6443", "example", True),
        ("https://api.example:6443", "api.example:443", True),
        ("https://api.example:6443", "other, API.example:6443", False),
        ("https://10.1.2.3:6443", "10.0.0.0/8", False),
        ("https://11.1.2.3:6443", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.3", False),
        ("https://10.1.2.3", "10.1.2.3:443", False),
        ("https://[fd00::1]:6443", "fd00::/8", False),
        ("https://127.0.0.1:6443", "", False),
        ("https://localhost:6443", "", False),
    ],
)
def test_no_proxy_as_kubectl_reads_it(url: str, exceptions: str, proxied: bool) -> None:
    found = proxy_for(url, {**PROXY, "NO_PROXY": exceptions})
    assert found == ("http://proxy:3128" if proxied else None)


def test_each_scheme_has_its_proxy() -> None:
    assert proxy_for("http://api.example", PROXY) == "http://plain:80"
    assert proxy_for("http://api.example", {"HTTPS_PROXY": "http://p"}) is None


def test_refusals_in_words() -> None:
    said = b'{"message": "pods is forbidden", "details": {"kind": "pods"}}'
    assert str(refusal(403, said, PODS)) == "no permission: pods is forbidden"
    assert "log in again" in str(refusal(401, b'{"message": "Unauthorized"}', PODS))
    assert "helm install" in str(refusal(404, b"404 page not found", BATCH_JOBS))
    gone = refusal(404, b'{"message": "x", "details": {"name": "x"}}', BATCH_JOBS)
    assert isinstance(gone, Refused)
    assert gone.missing
    assert isinstance(refusal(503, b"", PODS), Unreachable)
