"""Who may connect, and what each client may read and write."""
