"""The rules `tools/check_house.py` applies, one module an idea."""
