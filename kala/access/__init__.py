"""Who may call: who a caller is, and how a caller proves it."""
