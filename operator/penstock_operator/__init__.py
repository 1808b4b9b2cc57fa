"""The control plane: takes a BatchJob on Kubernetes from apply to its end."""
