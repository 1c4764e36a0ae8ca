"""`python -m pydra_pizza` is `pydra-pizza`."""

from pydra_pizza import main

main()
