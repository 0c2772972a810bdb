"""Looks at everything that a support thread would ask about, and says what is wrong and how to fix it."""
