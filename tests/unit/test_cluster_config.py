"""The cluster's parts as data: addresses, arguments, files, and what makes a new one necessary."""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.cluster import certificates, network, packages, permissions, recipe
from tests.cluster.binaries import PROGRAMS, folder_name, parse_version, version_key
from tests.cluster.config import Addresses, Paths, choose_block, kubeconfig
from tests.cluster.errors import ClusterError
from tests.cluster.parts import Part, flags

PATHS = Paths(Path("/state"), Path("/runtime"))
ADDRESSES = Addresses(244)
MACHINE = recipe.Machine(Path("/usr/bin/containerd"), Path("/usr/lib/cni"), "overlayfs")


def planned(addresses: Addresses = ADDRESSES) -> dict[str, Part]:
    binaries = {name: Path("/cache", name) for name in PROGRAMS}
    stages = recipe.stages(binaries, MACHINE, PATHS, addresses)
    return {part.name: part for stage in stages for part in stage}


@pytest.mark.parametrize(
    ("routes", "block"),
    [
        ([], 244),
        (["192.0.2.0/24", "127.0.0.0/8"], 244),
        (["10.244.3.0/24"], 243),
        (["10.244.0.0/16", "10.243.255.2"], 242),
        (["10.240.0.0/13"], 239),
    ],
)
def test_addresses_keep_clear_of_the_machines_routes(routes: list[str], block: int) -> None:
    assert choose_block(routes) == block


def test_a_machine_whose_routes_take_everything_is_told() -> None:
    with pytest.raises(ClusterError, match=r"no 10\.x\.0\.0/16 is free"):
        choose_block(["10.0.0.0/8"])


def test_routes_of_the_cluster_itself_do_not_count() -> None:
    listed: list[dict[str, object]] = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"dst": "10.244.0.0/16", "dev": "penstock-host"},
    ]
    assert network.destinations(listed) == ["192.0.2.0/24"]


def test_pods_services_and_cable_do_not_overlap() -> None:
    pods, services = (
        ipaddress.IPv4Network(ADDRESSES.pods),
        ipaddress.IPv4Network(ADDRESSES.services),
    )
    cable = ipaddress.IPv4Network(f"{ADDRESSES.host}/30", strict=False)
    assert ipaddress.ip_address(ADDRESSES.node) in cable
    assert ipaddress.ip_address(ADDRESSES.bridge) in pods
    assert next(services.hosts()) == ipaddress.ip_address(ADDRESSES.api_service)
    whole = ipaddress.IPv4Network(ADDRESSES.all)
    assert all(part.subnet_of(whole) for part in (pods, services, cable))
    for one, other in itertools.combinations((pods, services, cable), 2):
        assert not one.overlaps(other)


def test_nothing_but_one_interface_and_one_route_is_made_on_the_machine() -> None:
    outside = [
        command
        for command in network.commands(ADDRESSES)
        if command[0] != "nsenter" and command[:2] != ["ip", "-n"]
    ]
    assert [command[1:3] for command in outside] == [
        ["netns", "add"],
        ["link", "add"],
        ["address", "add"],
        ["link", "set"],
        ["route", "add"],
    ]


def test_every_part_keeps_its_files_in_the_clusters_directories() -> None:
    for part in planned().values():
        assert all(path.is_relative_to(PATHS.configuration) for path in part.files), part.name


def test_every_part_but_the_runtime_says_over_http_whether_it_is_well() -> None:
    silent = [name for name, part in planned().items() if part.health is None]
    assert silent == ["containerd"]
    for part in planned().values():
        assert part.health is None or f"//{ADDRESSES.node}:" in part.health


def test_configuration_files_parse() -> None:
    for part in planned().values():
        for path, text in part.files.items():
            if path.suffix in {".json", ".conflist"}:
                assert json.loads(text)
            if path.suffix == ".toml":
                plugins = tomllib.loads(text)["plugins"]
                assert plugins["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"] is True


def test_every_kubeconfig_that_is_used_is_made() -> None:
    made = {str(PATHS.client(identity.name)) for identity in certificates.CLIENTS}
    texts = [" ".join([*part.command, *part.files.values()]) for part in planned().values()]
    used = set(re.findall(r"/state/[\w/-]+\.kubeconfig", " ".join(texts)))
    assert len(used) == 5
    assert used <= made


def test_subjects_carry_user_and_group() -> None:
    subjects = {identity.name: certificates.subject(identity) for identity in certificates.CLIENTS}
    assert subjects["kubelet"] == "/O=system:nodes/CN=system:node:penstock"
    assert subjects["coredns"] == "/CN=coredns"


def test_users_that_are_given_rights_exist() -> None:
    users = {identity.user for identity in certificates.CLIENTS}
    bindings = [made for made in permissions.permissions() if made["kind"] == "ClusterRoleBinding"]
    for binding in bindings:
        assert isinstance(binding["subjects"], list)
        assert binding["subjects"][0]["name"] in users


def test_a_recipe_that_changed_has_another_digest() -> None:
    stage = list(planned().values())
    before = recipe.digest([stage])
    assert recipe.digest([list(planned().values())]) == before
    assert recipe.digest([list(planned(Addresses(243)).values())]) != before
    changed = dataclasses.replace(stage[0], command=(*stage[0].command, "--more"))
    assert recipe.digest([[changed, *stage[1:]]]) != before


@pytest.mark.parametrize(
    ("filesystem", "supported", "chosen"),
    [
        ("ext2/ext3", "nodev\toverlay\n\text4\n", "overlayfs"),
        ("overlayfs", "nodev\toverlay\n\text4\n", "native"),
        ("ext2/ext3", "\text4\n", "native"),
    ],
)
def test_layers_are_stacked_as_the_machine_allows(
    filesystem: str, supported: str, chosen: str
) -> None:
    assert recipe.snapshotter(filesystem, supported) == chosen


def test_flags_keep_their_order() -> None:
    assert flags({"b": 1, "a": "x"}) == ("--b=1", "--a=x")


def test_kubeconfig_names_one_cluster_and_one_user() -> None:
    made = kubeconfig("https://x", {"authority": "QQ==", "certificate": "Qg==", "key": "Qw=="})
    assert made["current-context"] == "penstock"
    text = json.dumps(made)
    assert all(part in text for part in ("https://x", "QQ==", "Qg==", "Qw=="))


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("go version go1.26.8 linux/amd64", "1.26.8"),
        ("go version go1.25 darwin/arm64", "1.25"),
        ("go version devel go1.27-1234 linux/amd64", "1.27"),
        ("no such command", None),
    ],
)
def test_the_version_go_tells(said: str, version: str | None) -> None:
    assert parse_version(said) == version


def test_versions_compare_as_numbers() -> None:
    assert version_key("1.9.2") < version_key("1.25") < version_key("1.25.1")


def test_what_is_built_names_its_folder() -> None:
    sources = {"go.mod": b"module a", "go.sum": b"x"}
    base = folder_name("helm", sources, "1.26.8", "-s")
    assert base.startswith("helm-")
    assert folder_name("helm", dict(reversed(sources.items())), "1.26.8", "-s") == base
    others = {
        folder_name("helm", {**sources, "go.sum": b"y"}, "1.26.8", "-s"),
        folder_name("helm", sources, "1.26.9", "-s"),
        folder_name("helm", sources, "1.26.8", ""),
    }
    assert len(others) == 3
    assert base not in others


def test_only_packages_of_missing_programs_are_installed_each_once() -> None:
    programs = {"ctr": "containerd", "containerd": "containerd", "runc": "runc", "ip": "iproute2"}
    found = {"runc": "/usr/bin/runc"}
    assert packages.missing(programs, found.get) == ["containerd", "iproute2"]
