"""Who is asking: signing in, sessions, tokens, and the gate that every request passes."""
