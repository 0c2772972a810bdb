"""The way out: what arrives over HTTP is checked, filtered, redacted and stored before it is acknowledged."""
