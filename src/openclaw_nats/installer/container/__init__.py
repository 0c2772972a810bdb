"""What `setup --runtime docker` builds its image of."""
