"""Who may do what: roles, callers, and how far each of them reaches. Pure."""
