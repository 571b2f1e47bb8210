"""The page: what a visitor sees, and an HTTP client of the API."""
