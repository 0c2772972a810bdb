"""What is wrong, and telling people of it: conditions, channels, messages."""
