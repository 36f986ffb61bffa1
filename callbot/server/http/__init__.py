"""HTTP: the Quart app, the webhooks and what is answered to them."""
