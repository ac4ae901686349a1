"""What is wrong with a device and has no ticket: open findings in words, with the reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from api.explained import explained
from api.grounds import Seen, as_seen, whole_finding_out
from api.telling import Say
from storage.device_reading import OpenFindingRow
from storage.reading import EpisodeRow


@dataclass(frozen=True, slots=True)
class Unticketed:
    """One finding, why it has no open ticket, and the ticket about it that is over."""

    seen: Seen
    because: str
    ended_ticket_no: int | None


def unticketed(
    rows: Sequence[OpenFindingRow], episodes: Sequence[EpisodeRow], say: Say
) -> list[Unticketed]:
    """Findings with the reason. `episodes` are the device's: one may be what explains another."""
    return [
        Unticketed(as_seen(whole_finding_out(row), say), _because(row, episodes, say), row.ended_no)
        for row in rows
    ]


def _because(row: OpenFindingRow, episodes: Sequence[EpisodeRow], say: Say) -> str:
    """By what the finding asks for; where a fault explains it, the reason of the table."""
    why = _explained_by(row, episodes, say.now, say) if row.need == "explained" else ""
    if why:
        return say.t("unticketed.explained.why", why=why)
    if row.need == "ticket" and row.ended_no is not None:
        return say.t("unticketed.ended")
    return say.word("unticketed", row.need)


def _explained_by(
    row: OpenFindingRow, episodes: Sequence[EpisodeRow], now: datetime, say: Say
) -> str:
    own = {int(number) for number in row.detail.get("episodes", ())}
    children = [episode for episode in episodes if episode.episode_no in own]
    codes = {(child.system, child.code) for child in children}
    causes = [episode for episode in episodes if (episode.system, episode.code) not in codes]
    return " ".join(say.both(one.why) for one in explained(causes, children, now))
