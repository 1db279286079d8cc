"""Where Kala keeps what it knows: the only SQL in the house."""
