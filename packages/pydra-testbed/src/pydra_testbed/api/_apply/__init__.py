"""Who owns which field: server-side apply and `metadata.managedFields` (KEP-555).

`_creates` and `_updates` ask `ownership` after every write, `patch` asks `operation` for apply patches. The
rules are those of sigs.k8s.io/structured-merge-diff: values are walked by a kind's merge types, fields become
sets of paths, and a manager owns a set.
"""
