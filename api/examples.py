"""An example of anything that the document describes, from its schema and known words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_DEPTH_MAX: Final = 8
_AT: Final = "2026-11-20T08:15:00.000Z"
_WORDS: Final[Mapping[str, Any]] = {
    "device_id": "fk-20417",
    "id": "fk-20417",
    "individual_no": "4471 0293",
    "serial": "OB-88213-A",
    "tenant": "exempel",
    "tenant_id": "exempel",
    "centre": "norr",
    "centre_id": "norr",
    "centre_name": "Hjälpmedelscentralen Norr",
    "model_id": "otto-bock-b400",
    "maker": "Otto Bock",
    "model_name": "B400",
    "fw": "2.4.1",
    "hw": "C",
    "epoch": "9f2c61d0a4b7e813",
    "system": "vr2",
    "code": "3B00",
    "metric": "battery_voltage_v",
    "unit": "V",
    "cause": "battery",
    "component": "battery",
    "rule_id": "reported-fault",
    "policy_id": "vgr",
    "subject": "SE2321000016-1A2B",
    "name": "Anna Ek",
    "who": "Anna Ek",
    "assignee": "Anna Ek",
    "why": "Användaren har ringt och berättat om felet.",
    "reason": "part_on_order",
    "person": "p-7f3a",
    "place": "workshop",
    "next_cursor": "WyJkZXZpY2VzIiwiZmstMjA0MTciXQ",
    "title_sv": "Bromsen på vänster sida släpper inte",
    "title_en": "The left brake does not release",
    "sv": "vänster broms",
    "en": "left brake",
    "type": "urn:fjarrkoll:problem:not-found",
    "title": "Not Found",
    "detail": "There is no device with that id.",
    "instance": "/api/v1/devices/fk-1",
    "next": "Check the spelling, or list what there is.",
    "ticket_no": 4711,
    "version": 7,
    "confidence": 0.92,
    "value": 24.6,
    "low": 24.1,
    "high": 25.2,
    "sample_n": 60,
}


def example_of(name: str, schema: Schema, schemas: Mapping[str, Schema], depth: int = 0) -> Any:
    """A value that fits the schema. `name` is the property's, and chooses the words."""
    if "$ref" in schema:
        target = str(schema["$ref"]).rpartition("/")[2]
        return example_of(name, schemas[target], schemas, depth)
    for given in ("examples", "enum"):
        if schema.get(given):
            return schema[given][0]
    if "const" in schema:
        return schema["const"]
    for kind in ("allOf", "anyOf", "oneOf"):
        if kind in schema and "properties" not in schema:
            return example_of(name, _chosen(schema[kind], depth), schemas, depth + 1)
    return _of_type(name, schema, schemas, depth)


def _chosen(options: list[Schema], depth: int) -> Schema:
    """The first that says something; far down, the one that says nothing."""
    empty = [option for option in options if option.get("type") == "null"]
    if depth > _DEPTH_MAX and empty:
        return empty[0]
    return next((option for option in options if option.get("type") != "null"), options[0])


def _of_type(name: str, schema: Schema, schemas: Mapping[str, Schema], depth: int) -> Any:
    kinds = schema.get("type")
    match kinds[0] if isinstance(kinds, list) else kinds:
        case "object":
            return _object(schema, schemas, depth)
        case "array":
            return _array(name, schema, schemas, depth)
        case "integer" | "number" as kind:
            return _number(name, schema, is_whole=kind == "integer")
        case "string":
            return _text(name, schema)
        case kind:
            return {"boolean": True, "null": None}.get(str(kind), {})


def _object(schema: Schema, schemas: Mapping[str, Schema], depth: int) -> dict[str, Any]:
    if "properties" not in schema:
        more = schema.get("additionalProperties")
        if not isinstance(more, Mapping) or depth > _DEPTH_MAX:
            return {}
        return {"major": example_of("", more, schemas, depth + 1)}
    return {
        name: example_of(name, part, schemas, depth + 1)
        for name, part in schema["properties"].items()
    }


def _array(name: str, schema: Schema, schemas: Mapping[str, Schema], depth: int) -> list[Any]:
    if depth > _DEPTH_MAX:
        return []
    parts = schema.get("prefixItems") or [schema.get("items", {})]
    return [example_of(name, part, schemas, depth + 1) for part in parts]


def _number(name: str, schema: Schema, *, is_whole: bool) -> float:
    low, high = schema.get("minimum", 0), schema.get("maximum", float("inf"))
    low = max(low, schema.get("exclusiveMinimum", low - 1) + 1)
    known = _WORDS.get(name, 3)
    value = known if isinstance(known, int | float) and low <= known <= high else low
    return int(value) if is_whole else value


def _text(name: str, schema: Schema) -> str:
    if schema.get("format") == "date-time":
        return _AT
    if schema.get("format") == "date":
        return _AT[:10]
    known = _WORDS.get(name)
    text = known if isinstance(known, str) else str(schema.get("default") or name or "text")
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", 200)]
