"""What operators, orchestrators and developers ask: health, metrics, events, documents, pages, webhooks."""
