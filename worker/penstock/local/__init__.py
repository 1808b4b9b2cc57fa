"""The driver on one machine: worker processes for pods, an embedded server, what a person sees."""
