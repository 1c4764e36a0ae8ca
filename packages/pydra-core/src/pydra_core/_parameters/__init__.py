"""A driver's opaque parameters: what its model allows, decoded, described and enforced at admission.

One model (`Driver.config`) becomes shapes, and everything else is made from those, so that the driver, the JSON
Schema and the admission policy say the same of the same parameters.
"""
