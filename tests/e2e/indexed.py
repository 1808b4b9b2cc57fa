"""The Indexed Job that workers run as, in the form DESIGN and the operator give it."""

from __future__ import annotations

from tests.e2e import pods
from tests.e2e.kube import Object

POLICY: Object = {
    "rules": [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [130]}},
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}},
    ]
}


def job(name: str, pod: Object, *, parallelism: int, completions: int, **spec: object) -> Object:
    """`parallelism` worker slots at work out of `completions`; the first that finds the run
    finished completes it. `spec` are further fields, or other values of these."""
    return pods.job(
        name,
        pod,
        **{
            "completionMode": "Indexed",
            "parallelism": parallelism,
            "completions": completions,
            "successPolicy": {"rules": [{"succeededCount": 1}]},
            "backoffLimitPerIndex": 1000,
            "maxFailedIndexes": completions,
            "podFailurePolicy": POLICY,
            "podReplacementPolicy": "Failed",
            **spec,
        },
    )
