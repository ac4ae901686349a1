from __future__ import annotations

from pathlib import Path

from fleet.rules.manual import BEGINS, ENDS, manual
from fleet.rules.parameters import REQUIRED
from fleet.rules.reader import KINDS, parse_rule, shipped_rules

PAGE = Path(__file__).parents[3] / "docs" / "rules.md"


def test_the_page_has_the_evaluators_as_they_are():
    """To renew it, write what `manual()` returns between the two marks."""
    _, _, rest = PAGE.read_text("utf-8").partition(BEGINS)
    section, mark, _ = rest.partition(ENDS)
    assert mark
    assert section.strip() == manual().strip()


def test_every_kind_and_parameter_is_described():
    text = manual()
    for kind in KINDS.values():
        assert f"### `{kind.name}`" in text
        assert kind.source.strip()
        for parameter in kind.parameters:
            assert f"| `{parameter.name}` |" in text
            assert parameter.meaning.endswith("."), (kind.name, parameter.name)
            assert parameter.default is REQUIRED or parameter.written


def test_the_example_on_the_page_is_a_right_file():
    example = PAGE.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    rule = parse_rule(example)
    shipped, _ = shipped_rules()[rule.id]
    assert rule.asks.component is shipped.asks.component
    assert rule.title == shipped.title
