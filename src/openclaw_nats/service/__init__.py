"""The sidecar as a process: wiring, health, supervision."""
