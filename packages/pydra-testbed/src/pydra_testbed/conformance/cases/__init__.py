"""The cases, one module for each kind; `catalog` collects them."""
