"""The test bed: real brokers, schedulers and workers as processes, and a recorder of what runs."""
