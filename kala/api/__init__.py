"""HTTP in and out. No rule of scheduling lives here."""
