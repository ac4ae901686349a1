"""Deadlines by agreement: the working calendar, the policies, and how time is counted. Pure."""
