"""SQLite: the inbox, the routes, receipts. The only folder that imports `sqlite3`."""
