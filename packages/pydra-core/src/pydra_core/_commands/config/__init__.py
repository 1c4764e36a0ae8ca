"""`config`: what a driver's opaque parameters may be, for people, editors and the API server."""
