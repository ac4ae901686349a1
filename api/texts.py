"""Every text of the pages, Swedish first. Words of the domain live in `fleet.words`."""

from __future__ import annotations

from typing import Final

from fleet.words import Lang

# key: (Swedish, English)
TEXTS: Final[dict[str, tuple[str, str]]] = {
    "app.skip": ("Hoppa till innehållet", "Skip to content"),
    "app.nav": ("Huvudmeny", "Main menu"),
    "app.tickets": ("Ärenden", "Tickets"),
    "app.devices": ("Hjälpmedel", "Devices"),
    "app.health": ("Datakvalitet", "Data health"),
    "app.other_language": ("In English", "På svenska"),
    "app.footer": (
        "Fjärrkoll läser hjälpmedlens felkoder och driftdata. Alla tider är svensk tid.",
        "Fjärrkoll reads fault codes and operating data. All times are Swedish local time.",
    ),
    "app.read_at": ("Läst {at}", "Read {at}"),
    "app.more": ("Visa fler", "Show more"),
    "app.first": ("Till början", "Back to the start"),
    "app.none": ("–", "–"),
    "app.unknown": ("okänt", "unknown"),
    "app.scroll": ("Tabellen går att rulla i sidled", "The table scrolls sideways"),
    # The queue
    "queue.title": ("Ärenden", "Tickets"),
    "queue.count.one": ("1 öppet ärende", "1 open ticket"),
    "queue.count.many": ("{n} öppna ärenden", "{n} open tickets"),
    "queue.order": (
        "Allvarligast först, därefter det som har väntat längst.",
        "The worst first, then what has waited the longest.",
    ),
    "queue.order.ended": ("Senaste först.", "Newest first."),
    "queue.filter": ("Urval", "Filter"),
    "queue.state": ("Status", "State"),
    "queue.state.open": ("Öppna", "Open"),
    "queue.state.ended": ("Avslutade", "Ended"),
    "queue.severity": ("Allvar", "Severity"),
    "queue.any": ("Alla", "All"),
    "queue.device": ("Hjälpmedlets id", "Device id"),
    "queue.show": ("Visa", "Show"),
    "queue.clear": ("Rensa urvalet", "Clear the filter"),
    "queue.empty": ("Inga öppna ärenden", "No open tickets"),
    "queue.empty.help": (
        "Nya ärenden kommer hit av sig själva när ett hjälpmedel rapporterar ett fel som någon"
        " behöver åtgärda. Om du väntade dig ett ärende: se efter under Datakvalitet att"
        " hjälpmedlets data har kommit in.",
        "New tickets arrive by themselves when a device reports a fault that somebody needs to"
        " put right. If you expected one, look under Data health whether the device's data has"
        " arrived.",
    ),
    "queue.empty.filtered": ("Inga ärenden stämmer med urvalet", "No tickets match the filter"),
    "queue.empty.filtered.help": (
        "Ta bort något av villkoren, eller rensa urvalet för att se alla öppna ärenden.",
        "Remove a condition, or clear the filter to see all open tickets.",
    ),
    "queue.no_device": (
        "Det finns inget hjälpmedel med id {id}.",
        "There is no device with id {id}.",
    ),
    "ticket.no": ("Ärende {n}", "Ticket {n}"),
    "ticket.what": ("Fel", "Fault"),
    "ticket.device": ("Hjälpmedel", "Device"),
    "ticket.kind": ("Order", "Order"),
    "ticket.usability": ("Användbarhet", "Usability"),
    "ticket.fixer": ("Åtgärdas av", "Put right by"),
    "ticket.component": ("Del", "Part"),
    "ticket.since": ("Känt sedan", "Known since"),
    "ticket.age": ("Ålder", "Age"),
    "ticket.started": ("Felet började", "The fault began"),
    "ticket.centre": ("Hjälpmedelscentral", "Centre"),
    "ticket.back": ("Alla ärenden", "All tickets"),
    "ticket.evidence": ("Underlag", "Evidence"),
    "ticket.evidence.intro": (
        "Ärendet bygger på de här felperioderna. Varje rad går att spåra till det som"
        " hjälpmedlet skickade.",
        "The ticket rests on these fault episodes. Every row can be traced to what the device"
        " sent.",
    ),
    "ticket.no_evidence": (
        "Inga felperioder är kopplade till ärendet.",
        "No fault episodes are linked to the ticket.",
    ),
    "ticket.reports": ("Felrapporter", "Fault reports"),
    "ticket.reports.cut": ("De {n} senaste visas.", "The {n} latest are shown."),
    "ticket.history": ("Händelser", "History"),
    # Faults and episodes
    "fault.code": ("Kod", "Code"),
    "fault.meaning": ("Betydelse", "Meaning"),
    "fault.state": ("Rapport", "Report"),
    "fault.count": ("Antal", "Count"),
    "fault.at": ("Trolig tid", "Estimated time"),
    "fault.device_at": ("Hjälpmedlets klocka", "Device clock"),
    "fault.received_at": ("Mottaget", "Received"),
    "fault.same_time": ("samma", "same"),
    "fault.raised": ("inträffade", "raised"),
    "fault.cleared": ("upphörde", "cleared"),
    "fault.logged": ("ur felloggen", "from the log"),
    "episode.from": ("Från", "From"),
    "episode.to": ("Till", "To"),
    "episode.ongoing": ("pågår", "ongoing"),
    "episode.times": ("Gånger", "Times"),
    "clock.synced": ("går rätt", "keeps time"),
    "clock.drifting": ("kan gå fel", "may be off"),
    "clock.unset": ("är inte ställd", "is not set"),
    "clock.corrected": ("rättad", "corrected"),
    "clock.received": ("mottagningstid", "receive time"),
    "clock.skew": ("{amount} fel", "off by {amount}"),
    # Devices
    "devices.title": ("Hjälpmedel", "Devices"),
    "devices.search": (
        "Sök på id, individnummer eller serienummer",
        "Search by id, individual number or serial number",
    ),
    "devices.search.help": (
        "Skriv början, till exempel de första siffrorna.",
        "Type the beginning, for example the first digits.",
    ),
    "devices.search.do": ("Sök", "Search"),
    "devices.empty": ("Inga hjälpmedel hittades", "No devices found"),
    "devices.empty.help": (
        "Sökningen jämför från början av id, individnummer och serienummer. Kontrollera"
        " siffrorna eller skriv färre tecken.",
        "The search compares from the start of id, individual number and serial number. Check"
        " the digits or type fewer characters.",
    ),
    "devices.none.help": (
        "Inga hjälpmedel är registrerade ännu. Lägg till det första med kommandot fjarrkoll"
        " device add.",
        "No devices are registered yet. Add the first with the command fjarrkoll device add.",
    ),
    "device.id": ("Id", "Id"),
    "device.individual": ("Individnummer", "Individual number"),
    "device.serial": ("Serienummer", "Serial number"),
    "device.model": ("Modell", "Model"),
    "device.contact": ("Kontakt", "Contact"),
    "device.online": ("ansluten", "connected"),
    "device.offline": ("inte ansluten", "not connected"),
    "device.never": ("har aldrig hörts av", "never heard from"),
    "device.last_contact": ("Hördes senast", "Last heard from"),
    "device.ago": ("för {time} sedan", "{time} ago"),
    "device.just_now": ("nyss", "just now"),
    "device.clock": ("Klocka", "Clock"),
    "device.firmware": ("Programversion", "Firmware"),
    "device.status": ("Registrering", "Registration"),
    "device.status.pending": ("väntar på godkännande", "pending"),
    "device.status.active": ("aktiv", "active"),
    "device.status.revoked": ("spärrad", "revoked"),
    "device.open": ("Öppna ärenden", "Open tickets"),
    "device.open.none": ("Inga öppna ärenden.", "No open tickets."),
    "device.latest": ("Senaste värden", "Latest values"),
    "device.latest.none": ("Inga värden har kommit in ännu.", "No values have arrived yet."),
    "device.latest.private": (
        "Värden om personen eller behandlingen ({n} st.) visas inte här. De hör till vården.",
        "Values about the person or the therapy ({n}) are not shown here. They belong to care.",
    ),
    "device.charts": ("Mätvärden och fel över tid", "Values and faults over time"),
    "device.range": ("Tidsperiod", "Range"),
    "device.range.24h": ("24 timmar", "24 hours"),
    "device.range.7d": ("7 dygn", "7 days"),
    "device.range.30d": ("30 dygn", "30 days"),
    "device.more_metrics": ("Fler mätvärden", "More values"),
    "device.main_metrics": ("De viktigaste", "The main ones"),
    "device.faults": ("Fel", "Faults"),
    "device.faults.none": ("Inga fel har rapporterats.", "No faults have been reported."),
    "device.faults.cut": ("De {n} senaste visas.", "The {n} latest are shown."),
    "device.ledger": ("Mottagningsliggare", "Ledger"),
    "device.ledger.intro": (
        "Varje post från hjälpmedlet har ett nummer. Här syns vilka som har kommit in.",
        "Every record from the device has a number. This shows which have arrived.",
    ),
    "device.ledger.none": (
        "Inga numrerade poster har kommit in.",
        "No numbered records have arrived.",
    ),
    "device.back": ("Alla hjälpmedel", "All devices"),
    # Charts
    "chart.desc": (
        "{metric}, {low} till {high}. Lägst {min}, högst {max}, senast {last}. {faults}.",
        "{metric}, {low} to {high}. Lowest {min}, highest {max}, latest {last}. {faults}.",
    ),
    "chart.summary": (
        "Lägst {min} · högst {max} · senast {last} {at}",
        "Lowest {min} · highest {max} · latest {last} {at}",
    ),
    "chart.faults.none": ("Inga fel i perioden", "No faults in the period"),
    "chart.faults.one": ("1 felrapport i perioden", "1 fault report in the period"),
    "chart.faults.many": ("{n} felrapporter i perioden", "{n} fault reports in the period"),
    "chart.none": (
        "Inga värden av {metric} i perioden.",
        "No values of {metric} in the period.",
    ),
    "chart.table": ("Visa som tabell", "Show as a table"),
    "chart.time": ("Tid", "Time"),
    "chart.low": ("Lägst", "Lowest"),
    "chart.high": ("Högst", "Highest"),
    "chart.more": ("och {n} till", "and {n} more"),
    "chart.key.line": (
        "Mätvärde; avbrott betyder att värden saknas",
        "Value; a break means that values are missing",
    ),
    "chart.key.band": (
        "Linje: medelvärde. Band: lägsta till högsta värde. Avbrott betyder att värden saknas",
        "Line: mean. Band: lowest to highest. A break means that values are missing",
    ),
    "chart.key.fault": ("Fel, {severity}", "Fault, {severity}"),
    "chart.key.cleared": ("Fel upphörde", "Fault cleared"),
    # Data health
    "health.title": ("Datakvalitet", "Data health"),
    "health.intro": (
        "Inget försvinner i tysthet. Allt som kommer in är lagrat, redan lagrat sedan tidigare"
        " eller satt i karantän.",
        "Nothing disappears in silence. Everything that arrives is stored, was stored before,"
        " or is in quarantine.",
    ),
    "health.equation": ("Förlustekvationen", "The loss equation"),
    "health.received": ("mottagna", "received"),
    "health.stored": ("lagrade", "stored"),
    "health.duplicate": ("dubbletter", "duplicates"),
    "health.quarantined": ("i karantän", "quarantined"),
    "health.holds": ("Stämmer", "Holds"),
    "health.fails": ("Stämmer inte", "Does not hold"),
    "health.fails.help": (
        "Skillnaden är {n}. Meddela driftansvarig; inget behöver skickas om från hjälpmedlen.",
        "The difference is {n}. Tell operations; devices need not send anything again.",
    ),
    "health.source": ("Väg in", "Way in"),
    "health.states": ("Lägesmeddelanden", "State messages"),
    "health.updated": ("Senast", "Latest"),
    "health.check": ("Kontroll", "Check"),
    "health.nothing": (
        "Inga meddelanden har kommit in ännu.",
        "No messages have arrived yet.",
    ),
    "health.reasons_agree": (
        "Karantänens orsaker summerar till samma antal.",
        "The quarantine reasons add up to the same number.",
    ),
    "health.reasons_differ": (
        "Karantänens orsaker summerar till {n}, vilket inte är samma antal.",
        "The quarantine reasons add up to {n}, which is not the same number.",
    ),
    "health.gaps": ("Luckor", "Gaps"),
    "health.gaps.open": ("Öppna luckor", "Open gaps"),
    "health.gaps.open.none": ("Inga öppna luckor.", "No open gaps."),
    "health.gaps.open.sum": (
        "{gaps} öppna luckor, {records} poster saknas och har begärts om.",
        "{gaps} open gaps, {records} records are missing and have been asked for.",
    ),
    "health.gaps.lost": ("Förlorat på hjälpmedlet", "Lost on the device"),
    "health.gaps.lost.none": ("Inga poster har gått förlorade.", "No records have been lost."),
    "health.gaps.lost.sum": (
        "{n} poster har gått förlorade de senaste 30 dygnen. De fanns inte kvar när vi bad om dem.",
        "{n} records were lost in the last 30 days. They were gone when we asked for them.",
    ),
    "health.gaps.cut": ("De {n} första visas.", "The first {n} are shown."),
    "gap.records": ("Poster", "Records"),
    "gap.n": ("Antal", "Number"),
    "gap.opened": ("Upptäckt", "Noticed"),
    "gap.asked": ("Begärd", "Asked for"),
    "gap.asked.times": ("{n} ggr", "{n} times"),
    "gap.closed": ("Avslutad", "Closed"),
    "gap.open": ("öppen", "open"),
    "gap.received": ("kom in senare", "arrived later"),
    "gap.lost_on_device": ("förlorad på hjälpmedlet", "lost on the device"),
    "gap.changed": ("ändrad", "changed"),
    "gap.none": ("Inga luckor.", "No gaps."),
    "gap.of_device": ("Luckor", "Gaps"),
    "ledger.epoch": ("Följd", "Epoch"),
    "ledger.hi": ("Helt till och med", "Complete up to"),
    "ledger.missing": ("Saknas nu", "Missing now"),
    "health.quarantine": ("Karantän", "Quarantine"),
    "health.quarantine.none": ("Inget ligger i karantän.", "Nothing is in quarantine."),
    "health.reason": ("Orsak", "Reason"),
    "health.messages": ("Meddelanden", "Messages"),
    "health.latest": ("Senaste i karantän", "Latest in quarantine"),
    "health.payload.hex": ("Binärt innehåll, visat som hex", "Binary payload, shown as hex"),
    "health.payload.text": ("Innehåll som text", "Payload as text"),
    "health.payload.empty": ("Tomt innehåll", "Empty payload"),
    "health.payload.cut": ("Början av {n} byte", "The beginning of {n} bytes"),
    "health.replayed": ("Inläst på nytt {at}", "Replayed {at}"),
    "health.bytes": ("{n} byte", "{n} bytes"),
    "health.backlog": ("Väntar på bearbetning", "Waiting to be worked on"),
    "health.backlog.hours": ("Timmar att räkna om", "Hours to recompute"),
    "health.backlog.inbox": ("Felposter att bedöma", "Fault records to judge"),
    "health.backlog.outbox": ("Ärenden att skicka", "Tickets to send"),
    "health.backlog.slots": ("Bemannade inläsningsplatser", "Ingest slots held"),
    "health.backlog.slots.of": ("{n} av {total}", "{n} of {total}"),
    "health.backlog.oldest": ("äldst {at}", "oldest {at}"),
    "health.many": ("minst {n}", "at least {n}"),
    # Reasons
    "reason.malformed": ("går inte att tolka", "cannot be parsed"),
    "reason.too_large": ("för stort", "too large"),
    "reason.out_of_range": ("värde utanför gränserna", "value out of range"),
    "reason.bad_time": ("orimlig tid", "impossible time"),
    "reason.wrong_shard": ("fel fack i ämnet", "wrong shard in the topic"),
    "reason.wrong_tenant": ("fel huvudman", "wrong tenant"),
    "reason.identity_mismatch": ("uppger ett annat hjälpmedel", "names another device"),
    "reason.unknown_device": ("okänt hjälpmedel", "unknown device"),
    "reason.pending_device": ("hjälpmedlet är inte godkänt", "device not approved yet"),
    "reason.revoked_device": ("hjälpmedlet är spärrat", "device revoked"),
    "reason.unknown_channel": ("okänd kanal", "unknown channel"),
    "reason.no_decoder": ("kan inte avkodas ännu", "no decoder yet"),
    "reason.too_many_metrics": ("för många mätvärdesnamn", "too many metric names"),
    "reason.rejected_by_database": ("nekat av databasen", "rejected by the database"),
    # States and order kinds of tickets
    "state.new": ("nytt", "new"),
    "state.triaged": ("bedömt", "triaged"),
    "state.assigned": ("tilldelat", "assigned"),
    "state.waiting": ("väntar", "waiting"),
    "state.solved": ("åtgärdat", "solved"),
    "state.verified": ("bekräftat", "verified"),
    "state.closed": ("avslutat", "closed"),
    "state.void": ("makulerat", "void"),
    "kind.AU": ("avhjälpande underhåll", "repair"),
    "kind.akut AU": ("akut avhjälpande underhåll", "urgent repair"),
    "kind.FU": ("förebyggande underhåll", "preventive maintenance"),
    "kind.support": ("support", "support"),
    "kind.supplier": ("leverantör", "supplier"),
    "kind.short.AU": ("AU", "repair"),
    "kind.short.akut AU": ("akut AU", "urgent repair"),
    "kind.short.FU": ("FU", "preventive"),
    "kind.short.support": ("support", "support"),
    "kind.short.supplier": ("leverantör", "supplier"),
    # What happened to a ticket
    "event.opened": ("ärendet skapades", "the ticket was opened"),
    "event.evidence_added": ("nytt underlag", "new evidence"),
    "event.severity_raised": ("allvaret höjdes", "severity raised"),
    "event.recurred": ("felet kom tillbaka", "the fault came back"),
    "event.cleared": ("felet upphörde", "the fault cleared"),
    "event.voided": ("makulerades", "voided"),
    "event.triage": ("bedömdes", "triaged"),
    "event.assign": ("tilldelades", "assigned"),
    "event.wait": ("väntar", "waiting"),
    "event.resume": ("återupptogs", "resumed"),
    "event.solve": ("åtgärdades", "solved"),
    "event.verify": ("bekräftades", "verified"),
    "event.close": ("avslutades", "closed"),
    "event.void": ("makulerades", "voided"),
    "event.recur": ("felet kom tillbaka", "the fault came back"),
    "event.change": ("{before} → {after}", "{before} → {after}"),
    "event.episodes.one": ("1 felperiod", "1 episode"),
    "event.episodes.many": ("{n} felperioder", "{n} episodes"),
    "event.reason.over_before_known": (
        "felet var över långt innan vi fick veta det",
        "the fault was over long before we heard of it",
    ),
    "who.diagnostics": ("automatiskt", "automatic"),
    "who.diagnose": ("automatiskt", "automatic"),
    # Errors
    "error.404": ("Sidan finns inte", "There is no such page"),
    "error.404.help": (
        "Adressen kan vara felskriven, eller så har det du söker tagits bort. Gå till ärendena"
        " eller sök bland hjälpmedlen.",
        "The address may be misspelt, or what you look for has been removed. Go to the tickets"
        " or search the devices.",
    ),
    "error.422": ("Adressen går inte att förstå", "The address cannot be understood"),
    "error.422.help": (
        "Något i adressen har ett värde som inte går att använda. Börja om från ärendena.",
        "Something in the address has a value that cannot be used. Start again from the tickets.",
    ),
    "error.405": ("Så går det inte att göra", "That cannot be done here"),
    "error.405.help": (
        "Den här sidan går bara att läsa.",
        "This page can only be read.",
    ),
    "error.421": ("Fel adress", "Wrong address"),
    "error.421.help": (
        "Servern svarar bara på den egna datorn. Använd adressen http://127.0.0.1 med rätt port.",
        "The server answers on its own computer only. Use http://127.0.0.1 with the right port.",
    ),
    "error.500": ("Något gick fel hos oss", "Something went wrong on our side"),
    "error.500.help": (
        "Felet är loggat. Försök igen om en stund. Händer det igen, anmäl adressen och"
        " klockslaget.",
        "The error is logged. Try again in a while. If it happens again, report the address and"
        " the time.",
    ),
    "error.503": ("Databasen svarar inte", "The database does not answer"),
    "error.503.help": (
        "Inget har gått förlorat: hjälpmedlen behåller sina data tills vi har tagit emot dem."
        " Försök igen om några sekunder.",
        "Nothing is lost: devices keep their data until we have received it. Try again in a few"
        " seconds.",
    ),
}


def text(key: str, lang: Lang, **values: object) -> str:
    """The text called `key`, with `values` put in."""
    swedish, english = TEXTS[key]
    found = swedish if lang == "sv" else english
    return found.format(**values) if values else found


def text_or_raw(prefix: str, word: str, lang: Lang) -> str:
    """The text `prefix.word`, or the word itself when there is none yet."""
    key = f"{prefix}.{word}"
    return text(key, lang) if key in TEXTS else word
