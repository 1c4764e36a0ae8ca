"""Protobuf bodies: what kubectl's own commands (`create namespace`, `auth can-i`) send for built-in kinds.

`envelope` turns such a body into JSON before anything else looks at it; answers are always JSON. Kinds and fields
outside `messages` are refused, so that nothing is dropped unseen.
"""
