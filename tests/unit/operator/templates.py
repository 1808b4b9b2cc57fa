"""Pod templates that people may write and that Kubernetes takes, by name."""

from __future__ import annotations

from typing import Any

Template = dict[str, Any]

_SIDECAR = {"name": "proxy", "image": "example.com/proxy:1", "restartPolicy": "Always"}

GOOD: dict[str, Template] = {
    "empty": {},
    "nulls everywhere": {
        "metadata": {"labels": None, "annotations": None},
        "spec": {
            "containers": [{"env": None, "volumeMounts": None, "image": None, "resources": None}],
            "volumes": None,
            "imagePullSecrets": None,
            "initContainers": None,
            "nodeSelector": None,
        },
    },
    "no containers": {"spec": {"nodeSelector": {"disk": "ssd"}, "containers": None}},
    "labels and annotations": {
        "metadata": {
            "labels": {"team": "shop", "app.kubernetes.io/part-of": "shop"},
            "annotations": {"example.com/note": "x"},
        }
    },
    "image and resources": {
        "spec": {
            "containers": [
                {
                    "image": "example.com/worker:2",
                    "command": ["nice", "penstock"],
                    "workingDir": "/data",
                    "resources": {"limits": {"memory": "64Mi", "cpu": "50m"}},
                }
            ]
        }
    },
    "resources of the whole pod": {
        "spec": {
            "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "64Mi"}},
            "containers": [{"name": "penstock"}],
        }
    },
    "another name": {"spec": {"containers": [{"name": "worker", "image": "example.com/w:1"}]}},
    "volumes, environment": {
        "spec": {
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "bare"},
            ],
            "containers": [
                {
                    "name": "penstock",
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/data"},
                        {"name": "tmp", "mountPath": "/tmp/"},
                    ],
                    "env": [
                        {"name": "OPENAI_API_KEY", "value": "x"},
                        {
                            "name": "HOST",
                            "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
                        },
                    ],
                    "envFrom": [{"configMapRef": {"name": "more", "optional": True}}],
                }
            ],
        }
    },
    "sidecar and init container": {
        "metadata": {"labels": {"sidecar": "yes"}},
        "spec": {
            "initContainers": [{"name": "fetch", "image": "example.com/fetch:1"}, _SIDECAR],
            "containers": [{"name": "log", "image": "example.com/log:1"}, {"image": "e.org/w:1"}],
        },
    },
    "an id from the cluster": {
        "spec": {"securityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    },
    "where to run": {
        "spec": {
            "nodeSelector": {"pool": "batch"},
            "tolerations": [{"key": "batch", "operator": "Exists"}],
            "priorityClassName": "system-node-critical",
            "serviceAccountName": "worker",
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["provider"]}],
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"penstock.dev/batchjob": "tv"}},
                }
            ],
            "terminationGracePeriodSeconds": 60,
            "imagePullSecrets": [{"name": "registry"}, {"name": "mine"}],
            "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        }
    },
    "a capability": {
        "spec": {
            "containers": [
                {"name": "penstock"},
                {
                    "name": "bind",
                    "image": "example.com/bind:1",
                    "securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}},
                },
            ]
        }
    },
}
