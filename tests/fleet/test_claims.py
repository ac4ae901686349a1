"""From what a sign-in service says to a caller, or to a refusal that says which claim."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.access.callers import Caller, Role
from fleet.access.claims import (
    ClaimsRefusedError,
    parse_claim_map,
    shipped_claim_map,
)
from fleet.catalogue import CatalogueError
from fleet.personal_numbers import is_like_personal_number

MAP = """
id = "test"
subject = "sub"
name = ["given_name", "family_name"]
commission = "commission"
care_unit = "unit"
person = "pseudonym"
device = "device"
service = [{ claim = "kind", equals = "program" }]

[tenant]
claim = "provider"
table = { "P1" = "vgr", "P2" = "dalarna" }

[centre]
claim = "unit"
table = { "U1" = "hmc-1" }
whole_tenant = ["prescriber", "administrator", "patient", "device"]

[[role]]
role = "administrator"
where = [{ claim = "groups", contains = "admins" }, { claim = "acr", equals = "loa3" }]

[[role]]
role = "technician"
where = [{ claim = "groups", contains = "techs" }]

[[role]]
role = "prescriber"
where = [{ claim = "purpose", equals = "Vård och behandling" }]

[[role]]
role = "patient"
where = [{ claim = "purpose", equals = "Egen" }]

[[role]]
role = "device"
where = [{ claim = "purpose", equals = "Apparat" }]
"""
ANY = {
    "sub": "SE2321000016-1A2B",
    "given_name": "Åsa",
    "family_name": "Öberg",
    "provider": "P1",
    "unit": "U1",
    "commission": "SE2321000016-C1",
}
TECHNICIAN = ANY | {"groups": ["x", "techs"]}


def caller_of(claims, text=MAP):
    return parse_claim_map(text, "test.toml").caller(claims)


def test_a_technician_of_a_centre():
    assert caller_of(TECHNICIAN) == Caller(
        subject="SE2321000016-1A2B",
        name="Åsa Öberg",
        role=Role.TECHNICIAN,
        tenant="vgr",
        centre="hmc-1",
        commission="SE2321000016-C1",
        care_unit="U1",
    )


@pytest.mark.parametrize(
    ("said", "role"),
    [
        ({"groups": ["admins", "techs"], "acr": "loa3"}, Role.ADMINISTRATOR),
        ({"groups": ["admins", "techs"], "acr": "loa2"}, Role.TECHNICIAN),
        ({"groups": ["techs"], "purpose": "Vård och behandling"}, Role.TECHNICIAN),
        ({"purpose": "Vård och behandling"}, Role.PRESCRIBER),
        ({"purpose": "Egen", "pseudonym": "p-1"}, Role.PATIENT),
        ({"purpose": "Apparat", "device": "wc-1"}, Role.DEVICE),
    ],
)
def test_the_first_role_whose_conditions_all_hold_counts(said, role):
    assert caller_of(ANY | said).role is role


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"groups": "techs"},  # text, not a list that contains it
        {"groups": ["Techs"]},
        {"groups": ["techsx"]},
        {"purpose": ["Vård och behandling"]},
        {"purpose": "vård och behandling"},
        {"purpose": True},
    ],
)
def test_there_is_no_role_for_those_whom_nothing_fits(said):
    with pytest.raises(ClaimsRefusedError, match=r"no role fits .* acr, groups, purpose"):
        caller_of(ANY | said)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sub": None}, "claim sub is absent"),
        ({"sub": ""}, "claim sub is absent"),
        ({"sub": []}, "claim sub is absent"),
        ({"sub": ["a", "b"]}, "claim sub has 2 values"),
        ({"sub": 17}, "claim sub is no line"),
        ({"sub": {"a": 1}}, "claim sub is no line"),
        ({"sub": "a\nb"}, "claim sub is no line"),
        ({"sub": "x" * 201}, "claim sub is no line"),
        ({"family_name": None}, "claim family_name is absent"),
        ({"provider": None}, "claim provider is absent, so there is no tenant"),
        ({"provider": "P3"}, "value of claim provider is not in the table"),
        ({"provider": ["P1", "P2"]}, "claim provider has 2 values"),
        ({"unit": None}, "claim unit is absent, and a technician does not see every centre"),
        ({"unit": "U2"}, "value of claim unit is not in the table"),
        ({"commission": ["c1", "c2"]}, "claim commission has 2 values"),
    ],
)
def test_what_is_absent_or_ambiguous_is_refused_by_name(change, reason):
    with pytest.raises(ClaimsRefusedError, match=reason):
        caller_of(TECHNICIAN | change)


@pytest.mark.parametrize(
    ("purpose", "missing", "reason"),
    [
        ("Egen", "pseudonym", "a patient needs a person, and claim pseudonym is absent"),
        ("Apparat", "device", "a device needs a device, and claim device is absent"),
        ("Vård och behandling", "unit", "a prescriber needs a care unit, and claim unit is"),
    ],
)
def test_a_role_with_a_reach_of_its_own_must_be_told_it(purpose, missing, reason):
    with pytest.raises(ClaimsRefusedError, match=reason):
        caller_of(ANY | {"purpose": purpose, missing: None})


def test_one_value_in_a_list_is_that_value():
    assert caller_of(TECHNICIAN | {"sub": ["SE1-A"]}).subject == "SE1-A"


def test_a_role_for_the_whole_tenant_is_limited_by_a_centre_of_ours_all_the_same():
    admin = ANY | {"groups": ["admins"], "acr": "loa3"}
    assert caller_of(admin).centre == "hmc-1"
    assert caller_of(admin | {"unit": "U2"}).centre is None
    assert caller_of(admin | {"unit": None}).centre is None


def test_a_pseudonym_or_device_of_another_role_is_not_taken_over():
    caller = caller_of(TECHNICIAN | {"pseudonym": "p-1", "device": "wc-1"})
    assert (caller.person, caller.device) == (None, None)


def test_a_program_is_known_as_one():
    assert caller_of(TECHNICIAN | {"kind": "program"}).is_service
    assert not caller_of(TECHNICIAN | {"kind": "person"}).is_service


NUMBERS = [
    "191212121212", "19121212-1212", "121212-1212", "1212121212", "121212+1212", "191212721219",
    "personnummer:191212121212", "SE 191212121212", "1.2.752.129.2.1.3.1-20001231-1234",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_a_personal_number_never_names_a_caller(number):
    assert is_like_personal_number(number)
    patient = ANY | {"purpose": "Egen", "pseudonym": "p-1"}
    for claim in ("sub", "pseudonym"):
        with pytest.raises(ClaimsRefusedError, match="personal number") as refused:
            caller_of(patient | {claim: number})
        assert number not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "SE2321000016-1A2B", "SE2321000016-123456789012", "SE5565594230-0001",
        "6f1c1a1e-58f0-4f7e-9c7a-5d1f6d2a9a11", "p-1", "anna.ek", "12345", "20261231",
    ],
)  # fmt: skip
def test_other_ids_are_not_taken_for_personal_numbers(text):
    assert not is_like_personal_number(text)


@given(
    st.dictionaries(
        st.sampled_from([*ANY, "groups", "acr", "purpose", "pseudonym", "device", "kind"]),
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text()),
            st.sampled_from(["P1", "U1", "Egen", "Apparat", "Vård och behandling", "loa3"]),
            st.just(["techs"]), st.just(["admins"]),
        ),
    )
)  # fmt: skip
def test_any_claims_make_a_whole_caller_or_a_refusal(said):
    try:
        caller = caller_of(ANY | said)
    except ClaimsRefusedError:
        return
    assert caller.subject
    assert caller.name
    assert caller.tenant in {"vgr", "dalarna"}
    assert caller.person or caller.role is not Role.PATIENT
    assert caller.care_unit or caller.role is not Role.PRESCRIBER
    assert caller.device or caller.role is not Role.DEVICE


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('commission = "', 'comission = "', r"key 'comission' on line 5\. Did you mean commission"),
        ('equals = "loa3"', 'equal = "loa3"', r"key 'equal' on line 22\. Did you mean equals"),
        ("whole_tenant", "whole_tenants", r"'whole_tenants' on line 18\. Did you mean whole_t"),
        ("[tenant]", "[tenants]", r"unknown key 'tenants' on line 11\. Did you mean tenant"),
        ('table = { "P1" = "vgr", "P2" = "dalarna" }', "", "neither a table nor as_is"),
        ('table = { "U1" = "hmc-1" }', "table = { U1 = 3 }", "table is not text to text"),
        ('claim = "provider"', 'fixed = "x"\nclaim = "p"', "fixed stands beside other keys"),
        ('role = "technician"', 'role = "tech"', "'tech' is not a Role"),
        ('where = [{ claim = "groups", contains = "techs" }]', "where = []", "no .*where"),
        ('contains = "techs"', 'contains = "t", equals = "x"', "not one of equals and contains"),
        ('subject = "sub"', "", "subject is missing"),
        ('name = ["given_name", "family_name"]', "name = []", "name is an empty list"),
        ('id = "test"', 'id = "test"\nscopes = ["profile"]', "scopes lack openid"),
        ('id = "test"', 'id = "test', "not TOML"),
        ('id = "test"', 'id = "test"\nscopes = "openid"', "scopes is not a list"),
    ],
)
def test_a_wrong_map_is_refused_with_its_place_and_a_remedy(old, new, error):
    text = MAP.replace(old, new, 1)
    assert text != MAP
    with pytest.raises(CatalogueError, match=error):
        parse_claim_map(text, "test.toml")


def test_a_fixed_tenant_needs_no_claim():
    table = 'claim = "provider"\ntable = { "P1" = "vgr", "P2" = "dalarna" }'
    text = MAP.replace(table, 'fixed = "vgr"')
    assert caller_of(TECHNICIAN | {"provider": None}, text).tenant == "vgr"


def test_a_tenant_taken_as_it_is_must_be_one():
    text = MAP.replace('table = { "P1" = "vgr", "P2" = "dalarna" }', "as_is = true")
    assert caller_of(TECHNICIAN, text).tenant == "P1"
    with pytest.raises(ClaimsRefusedError, match="claim provider is no tenant's id"):
        caller_of(TECHNICIAN | {"provider": "vgr'--"}, text)


SITHS = {
    "employeeHsaId": "SE2321000016-1A2B",
    "given_name": "Frida",
    "family_name": "Ek",
    "commissionHsaId": "SE2321000016-C9",
    "commissionPurpose": "Vård och behandling",
    "healthCareUnitHsaId": "SE2321000016-U9",
    "healthCareProviderHsaId": "SE0000000000-PROVIDER",
    "sub": "opaque",
}


def test_the_siths_map_reads_what_inera_says():
    caller = shipped_claim_map("siths").caller(SITHS)
    assert caller == Caller(
        subject="SE2321000016-1A2B",
        name="Frida Ek",
        role=Role.PRESCRIBER,
        tenant="demo",
        commission="SE2321000016-C9",
        care_unit="SE2321000016-U9",
    )
    chosen = SITHS | {
        "commissionHsaId": "SE0000000000-TECHNICIAN",
        "healthCareUnitHsaId": "SE0000000000-CENTRE",
    }
    technician = shipped_claim_map("siths").caller(chosen)
    assert (technician.role, technician.centre) == (Role.TECHNICIAN, "hmc-demo")


@pytest.mark.parametrize(
    "change",
    [
        {"healthCareProviderHsaId": "SE2321000016-P1"},
        {"commissionPurpose": "Forskning"},
        {"commissionHsaId": "SE0000000000-TECHNICIAN"},  # not from a centre's unit
        {"commissionHsaId": "SE0000000000-AUDITOR", "commissionPurpose": "Administration"},
        {"employeeHsaId": "191212121212"},
    ],
)
def test_the_siths_map_refuses_everybody_else(change):
    with pytest.raises(ClaimsRefusedError):
        shipped_claim_map("siths").caller(SITHS | change)


STAFF = SITHS | {
    "idp": "staff", "subject_id": SITHS["employeeHsaId"], "tenant_id": "SE0000000000-PROVIDER",
}  # fmt: skip
PATIENT = {
    "sub": "opaque",
    "idp": "patients",
    "subject_id": "p-4711",
    "person": "p-4711",
    "given_name": "Astrid",
    "family_name": "Ek",
    "tenant_id": "SE0000000000-PROVIDER",
}


def test_the_broker_map_reads_patients_from_one_side_and_staff_from_the_other():
    broker = shipped_claim_map("broker")
    assert broker.caller(PATIENT) == Caller(
        subject="p-4711", name="Astrid Ek", role=Role.PATIENT, tenant="demo", person="p-4711"
    )
    assert broker.caller(STAFF) == shipped_claim_map("siths").caller(SITHS)
    chosen = {
        "commissionHsaId": "SE0000000000-TECHNICIAN", "healthCareUnitHsaId": "SE0000000000-CENTRE"
    }  # fmt: skip
    technician = broker.caller(STAFF | chosen)
    assert (technician.role, technician.centre) == (Role.TECHNICIAN, "hmc-demo")


def test_nobody_becomes_staff_by_the_patients_way():
    claims = PATIENT | {"commissionHsaId": "SE0000000000-ADMIN",
                        "commissionPurpose": "Vård och behandling"}  # fmt: skip
    assert shipped_claim_map("broker").caller(claims).role is Role.PATIENT


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(PATIENT | {"person": None}, id="no pseudonym"),
        pytest.param(PATIENT | {"person": "191212121212"}, id="personal number"),
        pytest.param(PATIENT | {"idp": None}, id="from nowhere"),
        pytest.param(PATIENT | {"idp": "google"}, id="another service"),
        pytest.param(PATIENT | {"tenant_id": "SE2321000016-P1"}, id="another tenant"),
        pytest.param(STAFF | {"idp": None}, id="staff from nowhere"),
        pytest.param(STAFF | {"commissionPurpose": "Forskning"}, id="research"),
        pytest.param(STAFF | {"commissionHsaId": "SE0000000000-TECHNICIAN"}, id="no centre"),
    ],
)
def test_the_broker_map_refuses_everybody_else(claims):
    with pytest.raises(ClaimsRefusedError):
        shipped_claim_map("broker").caller(claims)


def test_a_map_that_is_not_shipped_is_refused_with_those_that_are():
    with pytest.raises(CatalogueError, match="Use broker, builtin, siths, or a file's path"):
        shipped_claim_map("../siths")
