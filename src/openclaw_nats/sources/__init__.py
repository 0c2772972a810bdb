"""The front door: verified webhooks. One file a scheme; the door itself, and the book of the sources that there are."""
