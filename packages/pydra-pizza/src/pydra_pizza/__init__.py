"""The teaching driver: pizzas as devices, no hardware needed."""
