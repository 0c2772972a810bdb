"""Rules about silence: what has to come, what must not, and whether it is known yet."""
