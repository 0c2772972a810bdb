"""Whether everything works: what `/api/health` reports, part by part, each with its last error."""
