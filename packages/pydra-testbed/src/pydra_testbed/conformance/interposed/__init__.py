"""A folder for the search path of a driver's processes; `sitecustomize` in it is what Python loads first."""
