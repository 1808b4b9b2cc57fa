"""What parts of the cluster may do beyond the roles Kubernetes itself has, as objects to apply."""

from __future__ import annotations


def permissions() -> list[dict[str, object]]:
    """CoreDNS reads Services; the API server may ask the kubelet for logs and exec."""
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "penstock-cluster-dns"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services", "pods", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": ["list", "watch"],
                },
            ],
        },
        _binding("penstock-cluster-dns", "penstock-cluster-dns", "coredns"),
        _binding("penstock-cluster-kubelet", "system:kubelet-api-admin", "api-server"),
    ]


def _binding(name: str, role: str, user: str) -> dict[str, object]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
