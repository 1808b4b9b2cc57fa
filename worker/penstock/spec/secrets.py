"""API keys, databases' addresses, stores' options: variables stand for the Secrets that hold them.

A Secret's keys are read from the environment, in pods as on one machine.
`apiKey.secretKeyRef {name: openai, key: api-key}` is looked up as PENSTOCK_SECRET_OPENAI_API_KEY.
For the openai processor OPENAI_API_KEY does as well; for an http processor it does not, since
that key is not meant for whatever server the manifest names. A database's
`secretRef: {name: shop}` is PENSTOCK_SECRET_SHOP_URL. Of an object store's, every variable that
begins with PENSTOCK_SECRET_NAME_ is an option, PENSTOCK_SECRET_NAME_AWS_ACCESS_KEY_ID and so on;
whose keys they are, and for which account, has to be among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from penstock.errors import InputError
from penstock.spec.object_url import PREFIXES, Scheme
from penstock.spec.processor import ApiKey, Processor
from penstock.spec.source import SecretRef

_DEFAULT = "OPENAI_API_KEY"
_KEYLESS_REFUSED = "api.openai.com"
_EXAMPLE: Mapping[Scheme, str] = {
    "s3": "AWS_ACCESS_KEY_ID",
    "gs": "GOOGLE_SERVICE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME",
}
_NEEDED: Mapping[Scheme, tuple[str, ...]] = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gs": (),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME",),
}
"""Taken from the environment, they would be another account's."""


def api_key(processor: Processor, environ: Mapping[str, str]) -> str | None:
    """The key to call this processor's server with; None when it needs none.

    Raises InputError, naming the variables that would do, when the manifest asks for a key or the
    server is OpenAI's own, and none of them is set. Blank variables count as not set.
    """
    openai, http = processor.openai, processor.http
    if openai is not None:
        asked = openai.api_key
        needed = asked is not None or urlsplit(openai.base_url).hostname == _KEYLESS_REFUSED
        where, variables = "spec.processor.openai.apiKey", [*_variables(asked), _DEFAULT]
    elif http is not None:
        asked = http.api_key
        needed = asked is not None
        where, variables = "spec.processor.http.apiKey", _variables(asked)
    else:
        return None
    for variable in variables:
        value = environ.get(variable, "").strip()
        if value:
            return value
    if needed:
        raise InputError.at(where, f"no API key: set the variable {' or '.join(variables)}")
    return None


def database_url(
    ref: SecretRef | None, use: Literal["source", "output"], environ: Mapping[str, str]
) -> str:
    """The address of the database that a source or output names, password and all.

    Raises InputError, naming the variable, when that is not set or holds no address.
    """
    where = f"spec.{use}.postgres.secretRef"
    if ref is not None:
        variable = variable_name(ref.name, ref.key or "url")
    else:
        variable = f"PENSTOCK_{use.upper()}_DATABASE_URL"
    url = environ.get(variable, "").strip()
    wanted = "an address such as postgresql://user:password@host:5432/database"
    if not url:
        raise InputError.at(where, f"no database: set the variable {variable} to {wanted}")
    if not url.startswith(("postgresql://", "postgres://")):
        raise InputError.at(where, f"the variable {variable} does not hold {wanted}")
    return url


def store_options(
    ref: SecretRef | None,
    scheme: Scheme,
    use: Literal["source", "output"],
    environ: Mapping[str, str],
) -> dict[str, str]:
    """The options of an object store that its Secret holds, AWS_ACCESS_KEY_ID and so on, by name.

    Empty without a Secret: then the environment's own variables of these names count. Raises
    InputError, naming variables, when the Secret holds none, or a part of what belongs together.
    """
    if ref is None:
        return {}
    before = variable_name(ref.name, "")
    options = {
        name[len(before) :].upper(): value.strip()
        for name, value in environ.items()
        if name.upper().startswith(before + PREFIXES[scheme]) and value.strip()
    }
    if not options:
        raise InputError.at(
            f"spec.{use}.objectStore.secretRef",
            f"no credentials: set variables such as {before}{_EXAMPLE[scheme]}",
        )
    missing = [before + name for name in _NEEDED[scheme] if name not in options]
    if missing and options.get(f"{PREFIXES[scheme]}SKIP_SIGNATURE", "").lower() != "true":
        raise InputError.at(
            f"spec.{use}.objectStore.secretRef",
            f"no credentials: with a Secret those of the environment do not count; set "
            f"{' and '.join(missing)}",
        )
    return options


def variable_name(name: str, key: str) -> str:
    """The environment variable that stands for key `key` of the Secret `name`."""
    return "PENSTOCK_SECRET_" + re.sub(r"[^A-Za-z0-9]", "_", f"{name}_{key}").upper()


def _variables(asked: ApiKey | None) -> list[str]:
    if asked is None:
        return []
    return [variable_name(asked.secret_key_ref.name, asked.secret_key_ref.key)]
