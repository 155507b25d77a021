"""HTTP/1.1: connections within bounds, the fast lane, and what surrounds every request and answer."""
