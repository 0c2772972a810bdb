"""The HTTP API: who may call (auth), what is answered (endpoints, problems), how much is taken (http_protocol)."""
