"""MQTT at the nats-server that we run: its users, and what Home Assistant finds there."""
