"""The OpenAPI 3.1 documents of the sandbox, put together from the route table, the handlers and the contracts.

There are two: of the API that it stands in for, and of its own routes under /sandbox/, one of which makes it misbehave.

Belongs here: the form of such a document. Paths, methods and rates come from `routes`, summaries from the handlers'
docstrings, schemas from the structs; nothing about a single route is written here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.sandbox.openapi.contracts import CONTRACTS, Contract
from pipeline.sandbox.openapi.shapes import Problems, Refusal
from pipeline.sandbox.paths import plain
from pipeline.sandbox.routes import OPEN, V3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.responses import Response

    from pipeline.sandbox.call import Call

REF = "#/components/schemas/{name}"
_MEANINGS = {
    400: "A value cannot be accepted",
    401: "Wrong key",
    403: "No key, or not for this caller",
    404: "No such thing under this key",
    409: "Not ready",
    413: "Body too large",
    415: "Not a type of file that is read",
    422: "The request does not fit the schema",
    423: "Out of credits",
    429: "Too many calls, batches or credits at once",
}
_REQUEST_ID = {"description": "The caller's own, or a new one.", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
_INVALID, _TOO_MANY = 422, 429


@cache
def document(*, own: bool = False) -> dict[str, Any]:
    """The whole document, which nobody may change; of the sandbox's own routes, or of all the others."""
    table = [one for one in operations() if one[0].startswith("/sandbox/") == own]
    contracts = [_contract(path, method) for path, method, _ in table]
    kinds = [kind for one in contracts for kind in (one.gives, one.takes, one.form, one.query)]
    known = [kind for kind in (*kinds, Problems, Refusal) if kind is not None]
    _, components = msgspec.json.schema_components(known, ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for path, method, handler in table:
        paths.setdefault(path, {})[method.lower()] = _operation(path, method, handler, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The sandbox's own routes" if own else "Sandbox of the v3 API",
            "version": "3",
            "description": "A stand-in for Ntropy's v3 API on this machine. What it answers is synthetic. Lists are"
            " newest first. Every answer carries X-Request-ID. An installed fault plan may add any status.",
        },
        "paths": paths,
        "components": {
            "schemas": {name: _introduced(schema) for name, schema in components.items()},
            "responses": {str(status): _refusal(status) for status in _MEANINGS},
            "headers": {"X-Request-ID": _REQUEST_ID, "Retry-After": _RETRY_AFTER},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
        },
    }


def operations() -> Iterator[tuple[str, str, Callable[[Call], Response]]]:
    """Path as the document writes it, method and handler of everything that the server answers."""
    for path, table in V3:
        for method, operation in table.items():
            yield plain(path), method, operation.handler
    for path, handlers in OPEN:
        for method, handler in handlers.items():
            yield plain(path), method, handler


def _contract(path: str, method: str) -> Contract:
    return CONTRACTS.get(f"{method} {path}", Contract())


def _operation(
    path: str, method: str, handler: Callable[[Call], Response], components: dict[str, Any]
) -> dict[str, Any]:
    contract = _contract(path, method)
    made: dict[str, Any] = {
        "operationId": _identity(handler),
        "summary": _summary(handler, f"{method} {path}"),
        "tags": [path.split("/")[2 if path.startswith("/v3/") else 1]],
        "parameters": [*_path_parameters(path, contract), *_query_parameters(contract, components)],
        "responses": _responses(path, contract),
    }
    if path.startswith("/v3/"):
        made["security"] = [{"key": []}]
    if contract.takes is not None:
        made["requestBody"] = {"required": True, "content": _json(contract.takes)}
    if contract.form is not None:
        content = {"multipart/form-data": {"schema": _schema(contract.form)}}
        made["requestBody"] = {"required": True, "content": content}
    if method == "POST" and (links := _links(path)):
        made["responses"]["200"]["links"] = links
    return made


def _identity(handler: Callable[[Call], Response]) -> str:
    return f"{handler.__module__.rpartition('.')[2]}_{handler.__name__.strip('_')}"


def _links(path: str) -> dict[str, Any]:
    """What is made by a POST to a collection can be read, changed and deleted by its id."""
    parameters = {"id": "$response.body#/id"}
    return {
        name: {"operationId": name, "parameters": parameters}
        for other, _, handler in operations()
        if other.startswith(f"{path}/{{id}}") and (name := _identity(handler))
    }


def _summary(handler: Callable[[Call], Response], label: str) -> str:
    """The first line of the docstring, without the call that it begins with."""
    first = (handler.__doc__ or label).splitlines()[0]
    rest = re.sub(r"^[A-Z]+ /\S*?[,.:]*(?:\s+|$)", "", first).strip()
    return rest[:1].upper() + rest[1:] if rest else label


def _path_parameters(path: str, contract: Contract) -> list[dict[str, Any]]:
    schema = _schema(contract.id)
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"\{(\w+)\}", path)]


def _query_parameters(contract: Contract, components: dict[str, Any]) -> list[dict[str, Any]]:
    if contract.query is None:
        return []
    properties: dict[str, Any] = components[contract.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
        for name, schema in properties.items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out, and never null."""
    kept = {name: value for name, value in schema.items() if value is not None or name != "default"}
    options = [one for one in kept.pop("anyOf", ()) if one != {"type": "null"}]
    if len(options) == 1:
        return {**options[0], **kept}
    if options:
        kept["anyOf"] = options
    if "enum" in kept:
        kept["enum"] = [one for one in kept["enum"] if one is not None]
    return kept


def _responses(path: str, contract: Contract) -> dict[str, Any]:
    answered: dict[str, Any] = {}
    if contract.gives is None:
        answered["204"] = {"description": "Done", "headers": _headers("X-Request-ID")}
    else:
        answered["200"] = {
            "description": "Done",
            "headers": _headers("X-Request-ID"),
            "content": _json(contract.gives),
        }
    statuses = set(contract.refuses)
    if path.startswith("/v3/"):
        statuses |= {401, 403, 413, 429}
    if path.startswith("/sandbox/"):
        statuses.add(403)
    if "{" in path:
        statuses.add(404)
    if any(kind is not None for kind in (contract.takes, contract.form, contract.query)):
        statuses.add(422)
    answered |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}
    return answered


def _refusal(status: int) -> dict[str, Any]:
    kind = Problems if status == _INVALID else Refusal
    names = ("X-Request-ID", "Retry-After") if status == _TOO_MANY else ("X-Request-ID",)
    return {"description": _MEANINGS[status], "headers": _headers(*names), "content": _json(kind)}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _json(kind: Any) -> dict[str, Any]:
    return {"application/json": {"schema": _schema(kind)}}


def _introduced(schema: dict[str, Any]) -> dict[str, Any]:
    """A struct's schema with the first paragraph of its docstring: the rest is for who reads the code."""
    if "description" not in schema:
        return schema
    return {**schema, "description": schema["description"].partition("\n\n")[0]}


def _schema(kind: Any) -> dict[str, Any]:
    """Inline, or a reference into the components."""
    (made,), _ = msgspec.json.schema_components([kind], ref_template=REF)
    return made
