from __future__ import annotations

from datetime import timedelta


def test_a_raise_becomes_an_episode_a_ticket_an_event_and_a_delivery(world, report):
    device_no = world.device()
    world.report(device_no, report(0, "raised"))
    (result,) = world.diagnose()
    assert (result.taken_n, result.episode_n, len(result.opened)) == (1, 1, 1)
    assert [row[1:4] for row in world.tickets()] == [("left_motor", "new", "akut AU")]
    assert world.event_kinds() == ["opened"]
    assert world.rows("SELECT aggregate, kind, payload ->> 'device' FROM outbox") == [
        (f"ticket:{result.opened[0]}", "ticket.opened", "chair-1")
    ]
    assert world.rows("SELECT count(*) FROM inbox") == [(0,)]
