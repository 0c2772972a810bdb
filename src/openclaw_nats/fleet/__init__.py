"""Several sidecars on one NATS: who is who, and which one of a name works."""
