"""The audit log: who did what to the bus, and when; append-only, and chained so that a change of it is noticed."""
