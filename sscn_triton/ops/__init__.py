"""One module per operation; it contains the registered operator, its engines and its gradients."""
