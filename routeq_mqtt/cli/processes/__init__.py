"""Commands that run services: worker, scheduler, broker, up."""
