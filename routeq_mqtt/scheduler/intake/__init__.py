"""Messages in: read, decided and committed before they are acknowledged."""
