"""The migration that adds users, tokens, logins and the audit log."""

# `instance` tells the databases of several Kalas on a host apart.
ACCESS = (
    """
    CREATE TABLE account (
        name TEXT NOT NULL PRIMARY KEY,
        role TEXT NOT NULL,
        owners TEXT NOT NULL,
        run_as INTEGER NOT NULL,
        password TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        last_login INTEGER
    )
    """,
    """
    CREATE TABLE token (
        name TEXT NOT NULL PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        role TEXT NOT NULL,
        owners TEXT NOT NULL,
        run_as INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        last_used INTEGER
    )
    """,
    """
    CREATE TABLE login (
        digest BLOB NOT NULL PRIMARY KEY,
        user_name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        last_used INTEGER NOT NULL,
        address TEXT NOT NULL,
        agent TEXT NOT NULL
    )
    """,
    "CREATE INDEX login_user ON login (user_name)",
    """
    CREATE TABLE invitation (
        user_name TEXT NOT NULL PRIMARY KEY,
        digest BLOB NOT NULL,
        expires_at INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE audit (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        address TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        name TEXT NOT NULL,
        refused TEXT NOT NULL,
        changed TEXT NOT NULL
    )
    """,
    "CREATE TABLE instance (id TEXT NOT NULL)",
    "INSERT INTO instance VALUES (lower(hex(randomblob(4))))",
    "ALTER TABLE run ADD COLUMN requested_by TEXT NOT NULL DEFAULT ''",
)
