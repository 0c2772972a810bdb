"""Runs as OpenTelemetry spans, for whoever has a place for these: an optional extra, off by default."""
