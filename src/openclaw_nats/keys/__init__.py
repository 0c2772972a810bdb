"""Limited keys: each may publish and read on some subjects, over HTTP and at a nats-server of our own."""
