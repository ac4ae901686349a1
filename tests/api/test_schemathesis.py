"""Requests made of the OpenAPI document, right and wrong ones: no 5xx, nothing undocumented."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.people import access_settings, bearer
from support.tenants import seed_two_tenants, serving

from api.access.policy import shipped_policy
from api.app import create_app
from api.limits import Limits
from api.process import ApiSettings
from fleet.access.callers import Role

EXAMPLES = int(os.environ.get("FJARRKOLL_TEST_EXAMPLES", "4"))
"""Requests for each operation; more find more and take longer."""

ANSWER_S = 30
"""An answer that takes longer is none."""

APART = ["stream"]
"""It has no end; tests/api/test_stream.py reads it."""

CHOSEN = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ORDER = (
    Role.ADMINISTRATOR, Role.SERVICE_DESK, Role.PRESCRIBER, Role.PATIENT, Role.DEVICE, Role.AUDITOR,
)  # fmt: skip


@pytest.fixture(scope="module")
def address(plain):
    name = "schemathesis"
    two = seed_two_tenants(plain.create_migrated(name))
    limits = Limits(requests_per_s=1e6, request_burst=10**6)
    with serving(ApiSettings(two.url, access_settings(), port=0, limits=limits)) as url:
        yield url
    plain.drop_database(name)


def document():
    """The document is the same whatever the database."""
    return create_app(ApiSettings("postgresql://nowhere", access_settings(), port=0)).openapi()


schema = schemathesis.openapi.from_dict(document())


@schema.exclude(operation_id=APART).parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_whatever_is_sent_the_answer_is_one_of_those_documented(case, address):
    operation = case.operation.definition.raw["operationId"]
    headers = bearer(whoever_may(operation))
    response = case.call(base_url=address, headers=headers, timeout=ANSWER_S)
    case.validate_response(response, checks=CHOSEN, headers=headers)


def whoever_may(operation: str) -> Role:
    """Somebody whom the policy lets in, so that more than the gate is tried."""
    return next(role for role in ORDER if shipped_policy()[operation].allows(role))
