"""Processors: one kind of far side each. `build` makes the one that a job names.

Each kind and its HTTP client are imported only when asked for, to keep every process small.
"""

from __future__ import annotations

from penstock.spec.job import BatchJob
from penstock.work.types import Processor


def build(job: BatchJob, *, api_key: str | None = None, workers: int = 1) -> Processor:
    """The processor of this job. Close it with `aclose`. workers: that share this machine.

    api_key: sent as a bearer token, never shown (`spec.secrets.api_key` finds it). Raises
    InputError with the manifest's path where the processor makes no sense.
    """
    if job.spec.processor.python is not None:
        from penstock.work.processors.python import FunctionProcessor

        return FunctionProcessor(job, job.spec.processor.python, workers)
    from penstock.work.processors import http
    from penstock.work.processors.transport import Transport

    spec, kinds = job.spec, job.spec.processor
    secrets = [] if api_key is None else [api_key]
    if kinds.http is not None:
        secrets += http.secret_headers(kinds.http)
    transport = Transport(
        timeout=spec.retry.request_timeout,
        connections=spec.scaling.concurrency.max,
        secrets=secrets,
    )
    if kinds.openai is not None:
        from penstock.work.processors import openai

        return openai.build(job, kinds.openai, transport, api_key)
    if kinds.ollama is not None:
        from penstock.work.processors import ollama

        return ollama.build(job, kinds.ollama, transport)
    assert kinds.http is not None  # whatever else there is was refused with the manifest
    return http.HttpProcessor(job, kinds.http, transport, api_key)
