-- Signatures without a time of their own verify until their secret is replaced. `signer` and `lasting` are digests that
-- are keyed with that secret: whose it is, and what was signed. Both are NULL where a time is signed.
ALTER TABLE source_deliveries ADD COLUMN signer BLOB;
ALTER TABLE source_deliveries ADD COLUMN lasting BLOB;

CREATE TABLE source_signers (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    signer BLOB NOT NULL,
    UNIQUE (source, signer)
);
-- Those whose delivery is no longer a row of its own; `at` is when it came (Unix seconds).
CREATE TABLE source_signatures (
    signer INTEGER NOT NULL,
    digest BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (signer, digest)
) WITHOUT ROWID;
