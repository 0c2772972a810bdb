"""Nothing is missing: what the stream held is recorded, chained, and compared with what it holds."""
