"""Routes for operators and developers: health, metrics, model, events, documents, pages, webhooks."""
