"""Watchers: sources of what sends nothing. One file a type; what they share; who runs them, and starts them again."""
