"""What people are shown of the bus: what happens now, how it was before, the runs, the tokens, the sidecar's log."""
