"""What a producer can do beside dispatch: handles, batches, devices, events, queue control."""
