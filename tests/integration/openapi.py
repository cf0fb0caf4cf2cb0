"""Compares answers with app/openapi.json: is the path there, the status, the headers, the content
type, the shape of the body? Only what that description uses of JSON Schema is understood; anything
else in it is an error here, so that no part of it can go unchecked silently."""

import datetime
import json
import re
import uuid

from harness import ROOT

DESCRIPTION = json.loads((ROOT / "app/openapi.json").read_text())
#: Answers to requests that no operation is meant by.
UNROUTED = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 501: "UNKNOWN_METHOD"}

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
         "integer": int, "number": (int, float)}
SILENT = {"description", "default"}


class Mismatch(AssertionError):
    pass


def _is(value, name):
    if isinstance(value, bool) and name != "boolean":
        return False
    return isinstance(value, TYPES[name])


def _format(value, name):
    if name == "uuid":
        uuid.UUID(value)
    elif name == "date-time":
        datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
    elif name == "email":
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
            raise ValueError(value)
    else:
        raise KeyError(f"a format that is not understood: {name}")


def resolved(part):
    """What a $ref in the description stands for."""
    while "$ref" in part:
        found = DESCRIPTION
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def check_value(value, schema, where="body"):
    """Raises Mismatch when `value` is not as `schema` says."""
    schema = resolved(schema)

    def demand(truth, what):
        if not truth:
            raise Mismatch(f"{where} {what}, got {value!r}")

    for word, rule in schema.items():
        if word in SILENT:
            continue
        if word == "type":
            names = rule if isinstance(rule, list) else [rule]
            demand(any(_is(value, name) for name in names), f"must be {rule}")
        elif word == "enum":
            demand(value in rule, f"must be one of {rule}")
        elif word == "minimum":
            demand(value is None or value >= rule, f"must be at least {rule}")
        elif word == "maximum":
            demand(value is None or value <= rule, f"must be at most {rule}")
        elif word == "minLength":
            demand(len(value) >= rule, f"must have at least {rule} characters")
        elif word == "maxLength":
            demand(len(value) <= rule, f"must have at most {rule} characters")
        elif word == "format":
            try:
                _format(value, rule)
            except ValueError:
                demand(False, f"must be a {rule}")
        elif word == "required":
            demand(set(rule) <= set(value), f"must have {sorted(set(rule) - set(value))}")
        elif word == "properties":
            for name in rule.keys() & value.keys():
                check_value(value[name], rule[name], f"{where}.{name}")
        elif word == "additionalProperties":
            others = value.keys() - schema.get("properties", {}).keys()
            if rule is False:
                demand(not others, f"must not have {sorted(others)}")
            elif rule is not True:
                for name in others:
                    check_value(value[name], rule, f"{where}.{name}")
        elif word == "items":
            for index, entry in enumerate(value):
                check_value(entry, rule, f"{where}[{index}]")
        else:
            raise KeyError(f"a word of JSON Schema that is not understood: {word}")


def pattern_of(path):
    """The path of the description that `path` (without query) fits, or None. Words come before
    parameters."""
    fitting = [pattern for pattern in DESCRIPTION["paths"]
               if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(pattern)), path)]
    return min(fitting, key=lambda pattern: pattern.count("{"), default=None)


def operation_of(method, path):
    pattern = pattern_of(path)
    if pattern is None:
        return None
    return DESCRIPTION["paths"][pattern].get("get" if method == "HEAD" else method.lower())


def check(method, path, status, headers, text):
    """Raises Mismatch when this answer is not described. `headers` have lower-case names."""
    path = path.partition("?")[0]
    what = f"{method} {path} -> {status}"
    operation = operation_of(method, path)
    if "x-request-id" not in headers:
        raise Mismatch(f"{what}: no X-Request-Id")
    if operation is None:
        answer = json.loads(text)
        check_value(answer, {"$ref": "#/components/schemas/Error"}, what)
        if UNROUTED.get(status) != answer["error"]["code"]:
            raise Mismatch(f"{what}: this path or method is not described, got {text}")
        return
    described = operation["responses"].get(str(status))
    if described is None:
        raise Mismatch(f"{what}: this status is not described, got {text}")
    described = resolved(described)
    for name, header in described.get("headers", {}).items():
        if header.get("required") and name.lower() not in headers:
            raise Mismatch(f"{what}: the header {name} is missing")
    kind = headers.get("content-type", "").partition(";")[0]
    content = described["content"].get(kind)
    if content is None:
        raise Mismatch(f"{what}: content type {kind!r} is not described")
    if method == "HEAD":
        return
    check_value(json.loads(text) if kind == "application/json" else text, content["schema"], what)
