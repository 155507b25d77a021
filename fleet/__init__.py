"""What the service and the trainer share of a fleet: the client of NATS, and the sign-in."""
