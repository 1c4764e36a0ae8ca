"""Logs, metrics and the HTTP endpoints an operator watches."""
