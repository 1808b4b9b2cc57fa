"""Bounds that only the API server needs, by model and field.

What a CEL rule reads must have an end, as the API server reckons each rule's cost for the longest
value there could be; these ends lie beyond what anybody writes. Inline items have none but the size
of an object in etcd.
"""

from __future__ import annotations

from typing import Any

_PATH = {"maxLength": 4096}
_ADDRESS = {"maxLength": 8192}
_NAMED = {"maxLength": 253}
_DURATION = {"maxLength": 64}
_ONE = {"minItems": 1}

LIMITS: dict[tuple[str, str], dict[str, Any]] = {
    ("BatchJobSpec", "managedBy"): _NAMED,
    ("BatchJobSpec", "resultSet"): {"maxLength": 128},
    ("Checkpoint", "maxInterval"): _DURATION,
    ("CsvOptions", "delimiter"): {"maxLength": 1},
    ("FileOutput", "path"): _PATH,
    ("FileSource", "path"): _PATH,
    ("HttpProcessor", "url"): _ADDRESS,
    ("HttpSource", "url"): _ADDRESS,
    ("InlineSource", "items"): _ONE,
    ("OllamaProcessor", "baseURL"): _ADDRESS,
    ("OllamaProcessor", "messages"): _ONE,
    ("OpenAIProcessor", "baseURL"): _ADDRESS,
    ("OpenAIProcessor", "messages"): _ONE,
    ("Processor", "stages"): {"minItems": 1, "maxItems": 32},
    ("Retry", "maxElapsed"): _DURATION,
    ("Retry", "requestTimeout"): _DURATION,
}
