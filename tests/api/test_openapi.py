"""The OpenAPI document: valid, complete, and true of what stands in it."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.testclient import TestClient

from api.access.policy import shipped_policy
from api.app import create_app

CALLER_STATUSES = {"401", "403", "422", "429", "503"}
NOT_KEYED = {
    "ingest_records": "the records' own numbers make a second sending harmless",
    "set_my_sharing": "says how it shall be, so that a second time changes nothing",
    "answer_self_help": "the last answer counts, and is the same one",
    "add_my_block": "one block of a unit is open at a time",
    "override_block": "a second reason for the same way past a block belongs in the log",
    "export_person": "reads; its answer is not to be kept anywhere",
    "export_mine": "the same",
    "erase_person": "what is gone is gone",
    "place_hold": "a second hold keeps what the first one keeps",
    "release_hold": "a hold is released once",
    "search_audit": "reads; each time it was asked belongs in the log",
    "place_device": "a device that is there already stays there",
    "replay_quarantine": "what was stored is not among those that wait",
    "replay_quarantined": "what was stored is refused a second time",
}


@pytest.fixture(scope="module")
def document(settings):
    return create_app(settings).openapi()


def operations(document):
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]


def test_the_document_is_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_schema_has_an_example_that_fits_it(document):
    for name, schema in document["components"]["schemas"].items():
        assert schema["examples"], name
        whole = {**schema, "components": document["components"]}
        for example in schema["examples"]:
            errors = [e.message for e in Draft202012Validator(whole).iter_errors(example)]
            assert errors == [], (name, errors, example)


def test_every_operation_says_how_it_may_refuse(document):
    for path, _, operation in operations(document):
        rule = shipped_policy()[operation["operationId"]]
        statuses = set(operation["responses"])
        if rule.roles is None:
            assert operation["security"] == [], path
            continue
        assert operation["security"] == [{"bearer": []}, {"session": []}]
        assert statuses >= CALLER_STATUSES, (path, statuses)
        assert "{" not in path or "404" in statuses, path


def test_every_refusal_is_a_problem_and_says_when_to_come_back(document):
    for path, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400":
                assert set(response["content"]) == {"application/problem+json"}, (path, status)
            if status in {"429", "503"}:
                assert "Retry-After" in response["headers"], (path, status)


def test_no_operation_reads_a_body_without_end(document, settings):
    client = TestClient(create_app(settings), "http://127.0.0.1")
    reading = [(path, method) for path, method, op in operations(document) if "requestBody" in op]
    json, answered = {"Content-Type": "application/json"}, set()
    for path, method in reading:
        endless = (b" " * 65_536 for _ in range(20))
        answered.add(client.request(method, path, content=endless, headers=json).status_code)
        told = client.request(method, path, content=b" " * 1_100_000)
        assert told.json()["type"].endswith("too-large"), path
    assert answered == {401, 413}, "one asks who it is before it reads, the others read so far"


def test_every_operation_has_words_of_its_own(document):
    for path, _, operation in operations(document):
        assert operation["description"].strip(), path
        assert operation["tags"], path


def test_changes_with_a_version_say_412_and_428(document):
    for path, _, operation in operations(document):
        headers = {p["name"].lower() for p in operation.get("parameters", [])}
        if "if-match" in headers:
            assert {"412", "428"} <= set(operation["responses"]), path


def test_every_post_may_be_sent_twice(document):
    """By its key, by the version that it names, or by what it does."""
    without = {
        operation["operationId"]
        for _, method, operation in operations(document)
        if method == "post"
        and not {"idempotency-key", "if-match"}
        & {p["name"].lower() for p in operation.get("parameters", [])}
    }
    assert without == set(NOT_KEYED)
