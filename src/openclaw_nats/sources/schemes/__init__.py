"""How each provider proves that a request is its own. Pure: the clock, the secrets and the request are arguments."""
