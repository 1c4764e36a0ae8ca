"""Container Device Interface for Python: model, builder, validator, injection."""
