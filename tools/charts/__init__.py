"""What `tools/check_charts.py` and `tools/gen_values_schema.py` are made of, one module an idea."""
