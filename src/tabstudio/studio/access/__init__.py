"""Users, roles, sessions and tokens: who makes a request, and what they may do."""
