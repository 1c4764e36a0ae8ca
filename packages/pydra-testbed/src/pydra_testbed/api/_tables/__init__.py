"""Objects as `kubectl get` shows them: Tables of meta.k8s.io/v1, rendered by the server.

`table` answers the endpoint and the watches; `columns` knows what a kind shows.
"""
