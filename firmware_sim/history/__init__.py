"""A labelled fleet by the hour: what devices report over months, and what is truly wrong.

For scoring the diagnostics. Not message by message, so that thousands of devices over a season
take seconds; each device is a pure function of the seed and its own number. Clocks are right
here: wrong ones are the message-level simulator's subject.
"""
