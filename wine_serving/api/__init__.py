"""How a model is served over HTTP: routes, what they take and answer, and what stands around them."""
