"""How fast to go: what the far side allows, stated or learned. Pure: time is an argument."""
