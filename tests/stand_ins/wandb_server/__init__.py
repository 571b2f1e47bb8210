"""A small W&B on 127.0.0.1 that the unmodified SDK talks to: schema.graphql, store.py, app.py and the fixture."""
